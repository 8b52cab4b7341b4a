//! The payload store: whether it is reached and takes writes.

use orchestrator_connectors::{EgressClient, EgressPolicy};

use super::{Finding, Mark};
use crate::compose::payloads;
use crate::settings::{PayloadPlace, Settings, StorePlace};

const CHECK: &str = "payloads";

pub(super) async fn examine(settings: &Settings) -> Finding {
    let shown = match &settings.payloads.place {
        PayloadPlace::Folder(folder) if !folder.exists() => {
            let detail = format!("there is no {} yet: a start makes it", folder.display());
            return Finding::new(CHECK, Mark::Warn, detail);
        }
        PayloadPlace::Folder(folder) => folder.display().to_string(),
        PayloadPlace::Bucket(bucket) => format!("s3://{}/{}", bucket.bucket, bucket.prefix),
    };
    let client = match EgressClient::new(EgressPolicy::new(settings.egress_allow.clone())) {
        Ok(client) => client,
        Err(error) => return Finding::new(CHECK, Mark::Fail, error.to_string()),
    };
    match payloads::open(&settings.payloads, &client) {
        Ok(store) => match store.ping().await {
            Ok(()) if is_of_one_node(settings) => {
                let detail =
                    format!("{shown} takes writes; nodes on other machines have to share the folder, or use s3://");
                Finding::new(CHECK, Mark::Warn, detail)
            }
            Ok(()) => Finding::new(CHECK, Mark::Ok, format!("{shown} takes writes")),
            Err(error) => Finding::new(CHECK, Mark::Fail, format!("{shown} does not take writes: {}", root(&error))),
        },
        Err(error) => Finding::new(CHECK, Mark::Fail, format!("{error:#}")),
    }
}

/// Whether there may be nodes that do not see what this one writes.
fn is_of_one_node(settings: &Settings) -> bool {
    matches!((&settings.store, &settings.payloads.place), (StorePlace::Postgres(_), PayloadPlace::Folder(_)))
}

/// What lies at the bottom of an error: the rest only says that there is something.
fn root(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
