//! Opening the file: one process writes it, and everything that was under way in a former one is void.

use std::error::Error;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::store::StoreError;
use orchestrator_core::types::Timestamp;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlSafeStr, SqliteConnection};
use tokio::time::timeout;

use crate::op::{Op, store_error};
use crate::writer::Writer;

/// How long a reader may take, the wait for a connection included.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process, such as a backup.
const BUSY_WAIT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "payloads", include_str!("../migrations/0002_payloads.sql")),
    (3, "given_up", include_str!("../migrations/0003_given_up.sql")),
];

/// Everything durable in one SQLite file, for one process.
///
/// All writes go through one task that commits whatever waits together (WAL, `synchronous=FULL`: what was acknowledged
/// survives the loss of power); reads go beside it. Dropping the store finishes what was handed in, in the background;
/// [`close`](orchestrator_core::store::Store::close) waits for it.
pub struct SqliteStore {
    readers: SqlitePool,
    writer: Option<Writer>,
    clock: Arc<dyn Clock>,
    opened_at: Timestamp,
}

/// Why a store did not open. The message is one line for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open for writing.
    #[error("the store {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program has written it.
    #[error("the store {} has schema {found}, this program knows up to {known}: use a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// It was not upgraded yet, which only a server does.
    #[error("the store {} has schema {found}, this program wants {known}: start the server once to upgrade it", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// The folder or the lock file.
    #[error("the store {} cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database.
    #[error("the store {} cannot be opened: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SqliteStore {
    /// Opens the store at `path`, creating it (and its folder, for its owner only) if it is not there, and upgrading its
    /// schema. The leases of a former process end at once. `clock` tells the time of everything that is written.
    ///
    /// # Errors
    /// Another process has it open, it is of a newer version, or the file cannot be opened.
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        // Boxed here, where no lifetime is generic: else the compiler cannot see that callers may send the future.
        let opening: BoxFuture<Result<Self, OpenError>> = Box::pin(Self::open_for_writing(path, clock));
        opening.await
    }

    async fn open_for_writing(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let path = path.as_path();
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_folder(folder).map_err(io)?;
        let lock = lock(path)?;
        create_file(path, folder).map_err(io)?;

        let options = options(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", "67108864")
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-32768")
            .pragma("temp_store", "MEMORY");
        let mut conn = options.connect().await.map_err(|error| database(path, error))?;
        migrate(path, &mut conn).await?;
        take_over(&mut conn).await.map_err(|error| database(path, error))?;
        let readers = readers(path).await?;
        let opened_at = clock.now();
        let writer = Writer::start(conn, options, readers.clone(), Arc::clone(&clock), lock);
        Ok(Self { readers, writer: Some(writer), clock, opened_at })
    }

    /// Opens the store at `path` for reading, beside a server that may be running. It takes no lock and changes nothing;
    /// every write is refused.
    ///
    /// # Errors
    /// There is no store, or its schema is not the one that this version knows.
    pub async fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opening: BoxFuture<Result<Self, OpenError>> = Box::pin(Self::open_for_reading(path));
        opening.await
    }

    async fn open_for_reading(path: PathBuf) -> Result<Self, OpenError> {
        const VERSION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
        let path = path.as_path();
        if !path.is_file() {
            return Err(OpenError::Missing { path: path.to_owned() });
        }
        let readers = readers(path).await?;
        let version = sqlx::query_scalar(VERSION).fetch_one(&readers);
        let found: i64 = version.await.map_err(|error| database(path, error))?;
        let known = newest();
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
        if found < known {
            return Err(OpenError::Older { path: path.to_owned(), found, known });
        }
        let clock = SystemClock::shared();
        let opened_at = clock.now();
        Ok(Self { readers, writer: None, clock, opened_at })
    }

    /// The connections to read with.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The way to the writer; `None` if the store was opened for reading.
    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// The store's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Since when this process has the store.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// Waits for a reading statement, but not for ever.
    pub(crate) async fn read<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, StoreError> {
        match timeout(READ_WAIT, statement).await {
            Ok(answer) => answer.map_err(store_error),
            Err(elapsed) => Err(StoreError::unavailable(elapsed)),
        }
    }

    /// Writes, and waits for the commit.
    pub(crate) async fn write<O: Op>(&self, op: O) -> Result<O::Answer, StoreError> {
        match &self.writer {
            Some(writer) => writer.submit(op).await,
            None => Err(StoreError::Refused("the store was opened for reading".to_owned())),
        }
    }
}

fn database(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> OpenError {
    OpenError::Database { path: path.to_owned(), source: source.into() }
}

fn options(path: &Path) -> SqliteConnectOptions {
    // Statements are not logged: they would show tenants' data.
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .busy_timeout(BUSY_WAIT)
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

async fn readers(path: &Path) -> Result<SqlitePool, OpenError> {
    let pool = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(READ_WAIT).test_before_acquire(false);
    pool.connect_with(options(path).read_only(true)).await.map_err(|error| database(path, error))
}

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

async fn migrate(path: &Path, conn: &mut SqliteConnection) -> Result<(), OpenError> {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    // `run` takes any `Acquire`, which keeps the compiler from seeing that this future may be sent.
    match Migrator::with_migrations(migrations.collect()).run_direct(None, conn, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(OpenError::Newer { path: path.to_owned(), found, known: newest() })
        }
        Err(error) => Err(database(path, error)),
    }
}

/// Whoever ran before is dead: we hold the lock. Its leases and begun calls are void, and rows that it could not read
/// get another chance.
async fn take_over(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const LEASES: &str = "UPDATE jobs SET lease_until = 0 WHERE state = 'running'";
    const SET_ASIDE: &str = "UPDATE jobs SET ready = 1 WHERE ready = 3";
    const BEGUN: &str = "UPDATE idempotency SET valid_until = 0 WHERE answer IS NULL";
    for statement in [LEASES, SET_ASIDE, BEGUN] {
        sqlx::query(statement).execute(&mut *conn).await?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = private().create(true).truncate(false).write(true).open(&name).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Creates the file for its owner only (SQLite gives its journal the same permissions) and makes its name durable.
fn create_file(path: &Path, folder: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    private().create(true).truncate(false).write(true).open(path)?.sync_all()?;
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}
