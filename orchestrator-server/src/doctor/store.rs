//! The store.

use orchestrator_core::environment_of;
use orchestrator_core::store::Store;
use orchestrator_store_sqlite::{OpenError, SqliteStore};

use super::{Finding, Mark};
use crate::settings::Settings;

/// The store as it is, if it can be read, and what was found.
pub(super) async fn examine(settings: &Settings) -> (Option<SqliteStore>, Vec<Finding>) {
    let store = match SqliteStore::open_read_only(&settings.store).await {
        Ok(store) => store,
        Err(error @ OpenError::Missing { .. }) => {
            return (None, vec![Finding::new("store", Mark::Warn, format!("{error} yet: a start makes it"))]);
        }
        Err(error @ OpenError::Older { .. }) => {
            return (None, vec![Finding::new("store", Mark::Warn, error.to_string())]);
        }
        Err(error) => return (None, vec![Finding::new("store", Mark::Fail, error.to_string())]),
    };
    if let Err(error) = store.ping().await {
        return (None, vec![Finding::new("store", Mark::Fail, error.to_string())]);
    }
    let detail = format!("{}, of the schema of this version", settings.store.display());
    let findings = vec![Finding::new("store", Mark::Ok, detail), environment(settings, &store).await];
    (Some(store), findings)
}

async fn environment(settings: &Settings, store: &SqliteStore) -> Finding {
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
