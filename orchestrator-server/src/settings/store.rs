//! Where everything durable is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrator_store_pg::PgOptions;

use super::check::{Checked, within};
use super::sources::Layered;

const URL: &str = "store.url";
const MOST_CONNECTIONS: u64 = 1000;
const LONGEST_STATEMENT: u64 = 600;

/// Where everything durable is.
#[derive(Debug, Clone)]
pub enum StorePlace {
    /// `sqlite://<path>`: a file of this process's own.
    Embedded(PathBuf),
    /// `postgres://…`: a database that any number of nodes share. It holds the password, and is not printed with it.
    Postgres(Box<PgOptions>),
}

impl StorePlace {
    /// A file in the data folder.
    pub(super) fn of(data_dir: &Path) -> Self {
        Self::Embedded(data_dir.join("orchestrator.db"))
    }

    /// The file, if the store is embedded.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Embedded(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// In words, without a user or a password.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Embedded(path) => path.display().to_string(),
            Self::Postgres(options) => format!("postgres://{}", options.place()),
        }
    }
}

pub(super) fn check(layered: &Layered, data_dir: &Path) -> Checked<StorePlace> {
    let given = &layered.document.store;
    match given.url.as_deref() {
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            postgres(layered, url).map(Box::new).map(StorePlace::Postgres)
        }
        url => {
            for (setting, given) in [
                ("store.max_connections", given.max_connections.is_some()),
                ("store.statement_timeout_s", given.statement_timeout_s.is_some()),
            ] {
                if given {
                    return Err(layered.unusable(setting, "it is for postgres:// in `store.url`"));
                }
            }
            url.map_or_else(|| Ok(StorePlace::of(data_dir)), |url| file(layered, url).map(StorePlace::Embedded))
        }
    }
}

fn postgres(layered: &Layered, url: &str) -> Checked<PgOptions> {
    let given = &layered.document.store;
    let mut options = PgOptions::parse(url).map_err(|error| layered.unusable(URL, error.to_string()))?;
    if let Some(most) = within(layered, "store.max_connections", given.max_connections, 4, MOST_CONNECTIONS)? {
        options = options.max_connections(u32::try_from(most).unwrap_or(u32::MAX));
    }
    let longest = within(layered, "store.statement_timeout_s", given.statement_timeout_s, 1, LONGEST_STATEMENT)?;
    Ok(longest.map_or(options.clone(), |longest| options.statement_timeout(Duration::from_secs(longest))))
}

fn file(layered: &Layered, url: &str) -> Checked<PathBuf> {
    let unusable = |problem: &str| Err(layered.unusable(URL, problem));
    match url.strip_prefix("sqlite://") {
        None => unusable("sqlite://<path> or postgres://<user>:<password>@<host>/<database> is expected"),
        Some("" | "/") => unusable("it names no file: sqlite://<path> is expected"),
        Some(path) if path.contains([':', '?', '#']) => {
            unusable("a plain path is expected after sqlite://, without options")
        }
        Some(path) => Ok(path.into()),
    }
}
