//! The store.

use std::sync::Arc;

use orchestrator_core::environment_of;
use orchestrator_core::store::Store;
use orchestrator_store_pg::{PgOptions, PgStore};

use super::{Finding, Mark};
use crate::settings::{Settings, StorePlace};
use crate::stores::{self, Grave, Unreadable, standing};

const CHECK: &str = "store";

/// The store as it is, if it can be read, and what was found.
pub(super) async fn examine(settings: &Settings) -> (Option<Arc<dyn Store>>, Vec<Finding>) {
    let mut findings = Vec::new();
    if let StorePlace::Postgres(options) = &settings.store {
        match database(options).await {
            Ok(found) => findings.extend(found),
            Err(failed) => return (None, vec![failed]),
        }
    }
    let store = match stores::read(&settings.store).await {
        Ok(store) => store,
        Err(error) => {
            let (mark, detail) = match error {
                Unreadable::NotYet(detail) => (Mark::Warn, format!("{detail} yet: a start makes it")),
                Unreadable::Older(detail) => (Mark::Warn, detail),
                Unreadable::Broken(error) => (Mark::Fail, format!("{error:#}")),
            };
            findings.insert(0, Finding::new(CHECK, mark, detail));
            return (None, findings);
        }
    };
    if let Err(error) = store.ping().await {
        findings.insert(0, Finding::new(CHECK, Mark::Fail, error.to_string()));
        return (None, findings);
    }
    let detail = format!("{}, of the schema of this version", settings.store.shown());
    findings.insert(0, Finding::new(CHECK, Mark::Ok, detail));
    findings.push(environment(settings, store.as_ref()).await);
    (Some(store), findings)
}

async fn database(options: &PgOptions) -> Result<Vec<Finding>, Finding> {
    let seen = PgStore::inspect(options.clone()).await;
    let seen = seen.map_err(|error| Finding::new(CHECK, Mark::Fail, error.to_string()))?;
    let found = standing(&seen, options).into_iter().map(|concern| {
        let mark = match concern.grave {
            Grave::Fine => Mark::Ok,
            Grave::Later => Mark::Warn,
            Grave::Now => Mark::Fail,
        };
        Finding::new(concern.check, mark, concern.detail)
    });
    Ok(found.collect())
}

async fn environment(settings: &Settings, store: &dyn Store) -> Finding {
    const CHECK: &str = "environment";
    match environment_of(store).await {
        Ok(Some(of_store)) if of_store == settings.environment => {
            Finding::new(CHECK, Mark::Ok, format!("the store belongs to `{of_store}`"))
        }
        Ok(Some(of_store)) => {
            let wanted = &settings.environment;
            Finding::new(
                CHECK,
                Mark::Fail,
                format!("the store belongs to `{of_store}`, and the settings say `{wanted}`"),
            )
        }
        Ok(None) => Finding::new(CHECK, Mark::Warn, "the store belongs to none yet: the first start decides"),
        Err(error) => Finding::new(CHECK, Mark::Fail, error.to_string()),
    }
}
