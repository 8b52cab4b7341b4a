//! Whether an install can work: what a start would stumble over, and what would hurt later.
//!
//! One rule: it reads only, but for a probe that it writes to the payload store and takes away again, and one that Postgres undoes;
//! beside a running server it disturbs nothing.

mod finding;
mod folders;
mod keys;
mod listeners;
mod payloads;
mod queue;
mod store;
mod vault;

pub(crate) use finding::{Finding, Mark};

use crate::settings::Settings;

/// Examines the install of these settings.
pub(crate) async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![Finding::new("settings", Mark::Ok, format!("environment `{}`", settings.environment))];
    findings.extend(folders::examine(settings));
    let (store, found) = store::examine(settings).await;
    findings.extend(found);
    findings.extend(keys::examine(settings, store.as_deref()).await);
    findings.extend(queue::examine(settings).await);
    findings.push(payloads::examine(settings).await);
    findings.extend(vault::examine(settings).await);
    findings.extend(listeners::examine(settings).await);
    findings
}
