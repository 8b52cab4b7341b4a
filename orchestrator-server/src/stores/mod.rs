//! The store: which backend the settings name, and how it is opened, read beside a running server, and migrated.
//!
//! One rule: only [`open`] and [`migrate`] change anything.

mod standing;

use std::sync::Arc;

use orchestrator_core::clock::SystemClock;
use orchestrator_core::store::Store;
use orchestrator_store_pg::{OpenError as PgOpenError, PgOptions, PgStore};
use orchestrator_store_sqlite::{OpenError as SqliteOpenError, SqliteStore};

use crate::settings::StorePlace;
pub(crate) use standing::{Grave, standing};

/// Why a store cannot be read beside a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A start makes it.
    #[error("{0}")]
    NotYet(String),
    /// A start brings it up to date.
    #[error("{0}")]
    Older(String),
    /// A start stumbles over it as well.
    #[error(transparent)]
    Broken(anyhow::Error),
}

/// Opens the store for a server, with the schema of this version.
pub(crate) async fn open(place: &StorePlace) -> anyhow::Result<Arc<dyn Store>> {
    match place {
        StorePlace::Embedded(path) => Ok(Arc::new(SqliteStore::open(path, SystemClock::shared()).await?)),
        StorePlace::Postgres(options) => {
            let run = PgStore::migrate(PgOptions::clone(options)).await?;
            if !run.is_empty() {
                tracing::info!(migrations = %run.join(", "), "the schema was brought up to date");
            }
            let store = PgStore::open(PgOptions::clone(options)).await?;
            // What works and may hurt later; `doctor` says it in the same words.
            for concern in standing(&PgStore::inspect(PgOptions::clone(options)).await?, options) {
                if concern.grave != Grave::Fine {
                    tracing::warn!(check = concern.check, "{}", concern.detail);
                }
            }
            Ok(Arc::new(store))
        }
    }
}

/// Opens the store for reading, beside servers that may run on it.
pub(crate) async fn read(place: &StorePlace) -> Result<Arc<dyn Store>, Unreadable> {
    match place {
        StorePlace::Embedded(path) => match SqliteStore::open_read_only(path).await {
            Ok(store) => Ok(Arc::new(store)),
            Err(error @ SqliteOpenError::Missing { .. }) => Err(Unreadable::NotYet(error.to_string())),
            Err(error @ SqliteOpenError::Older { .. }) => Err(Unreadable::Older(error.to_string())),
            Err(error) => Err(Unreadable::Broken(error.into())),
        },
        StorePlace::Postgres(options) => {
            let broken = |error: PgOpenError| Unreadable::Broken(error.into());
            let missing = PgStore::inspect(PgOptions::clone(options)).await.map_err(broken)?.missing;
            if !missing.is_empty() {
                let place = place.shown();
                let names = missing.join(", ");
                return Err(Unreadable::Older(format!(
                    "{place} lacks the migrations {names}: `orchestrator migrate` or a start runs them"
                )));
            }
            // A command needs few, and takes none from those who serve.
            let store = PgStore::open(PgOptions::clone(options).max_connections(0)).await.map_err(broken)?;
            Ok(Arc::new(store))
        }
    }
}

/// Brings the store to the schema of this version, and says what was run, where the backend tells.
pub(crate) async fn migrate(place: &StorePlace) -> anyhow::Result<Vec<String>> {
    match place {
        StorePlace::Embedded(path) => {
            SqliteStore::open(path, SystemClock::shared()).await?.close().await;
            Ok(Vec::new())
        }
        StorePlace::Postgres(options) => Ok(PgStore::migrate(PgOptions::clone(options)).await?),
    }
}
