//! The payload store of the settings.

use std::sync::Arc;

use anyhow::Context;
use orchestrator_connectors::EgressClient;
use orchestrator_core::payload::PayloadStore;
use orchestrator_payloads::folder::FolderPayloads;
use orchestrator_payloads::s3::S3Payloads;

use crate::settings::{PayloadPlace, PayloadSettings};

/// Opens it. A bucket is reached through the guard, as every other address that is not ours.
pub(crate) fn open(settings: &PayloadSettings, client: &EgressClient) -> anyhow::Result<Arc<dyn PayloadStore>> {
    Ok(match &settings.place {
        PayloadPlace::Folder(folder) => {
            let open = FolderPayloads::open(folder);
            Arc::new(open.with_context(|| format!("the payload folder {} cannot be used", folder.display()))?)
        }
        PayloadPlace::Bucket(bucket) => Arc::new(S3Payloads::new(bucket, client.for_objects())?),
    })
}
