//! The lanes: a way to each step that is taken most.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::committer::Lane;
use crate::control::read::OneRecord;
use crate::control::routes::Holders;
use crate::events::append::Append;
use crate::inbox::ingest::Ingest;
use crate::jobs::enqueue::Accept;
use crate::jobs::settle::Settle;
use crate::requests::begin::Begins;
use crate::requests::log::Log;
use crate::shared::Shared;

/// The ways to what is written most.
pub(crate) struct Lanes {
    ending: CancellationToken,
    pub(crate) accept: Lane<Accept>,
    pub(crate) settle: Lane<Settle>,
    pub(crate) ingest: Lane<Ingest>,
    pub(crate) append: Lane<Append>,
    pub(crate) log: Lane<Log>,
    pub(crate) begin: Lane<Begins>,
    pub(crate) routes: Lane<Holders>,
    pub(crate) records: Lane<OneRecord>,
}

impl Lanes {
    /// Starts them.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        Self {
            ending: shared.ending.clone(),
            accept: Lane::start(shared.clone()),
            settle: Lane::start(shared.clone()),
            ingest: Lane::start(shared.clone()),
            append: Lane::start(shared.clone()),
            log: Lane::start(shared.clone()),
            begin: Lane::start(shared.clone()),
            routes: Lane::start(shared.clone()),
            records: Lane::start(shared.clone()),
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}
