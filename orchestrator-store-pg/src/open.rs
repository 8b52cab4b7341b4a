//! Opening: the database is found, its schema brought up to date, and connections act as the application's role.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use tokio::time::timeout;

use crate::options::{ACQUIRE, PgOptions};
use crate::schema;
use crate::session::LONGEST;
use crate::shared::Shared;
use crate::store::PgStore;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a store did not open. The message is one line for the operator, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is none.
    #[error("not a Postgres URL: write it as postgres://user:password@host:5432/database")]
    Url,
    /// The URL names no database.
    #[error("the Postgres URL names no database: end it with /name, of a database made for the orchestrator")]
    NoDatabase,
    /// Nothing answers.
    #[error(
        "nothing answers at {place}: check host and port, that Postgres runs, and that a firewall lets it be reached"
    )]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The password or the user is wrong.
    #[error("Postgres refuses the user or the password: check both in the URL, and `pg_hba.conf`")]
    Refused,
    /// There is no such database.
    #[error("there is no such database: create it (`createdb name`), or correct the end of the URL")]
    UnknownDatabase,
    /// Every connection is taken.
    #[error(
        "Postgres has no connection left: raise its `max_connections`, or lower `store.max_connections` of the nodes"
    )]
    TooManyConnections,
    /// A newer version of this program has migrated it.
    #[error("the database has a newer schema than this version knows: start a newer version")]
    NewerSchema,
    /// The schema was changed by hand, or by something else.
    #[error(
        "migration {0} of the database is not the one of this version: restore the schema, or use a database of its own"
    )]
    OtherSchema(i64),
    /// Nothing can be written there.
    #[error("the database is read-only (a replica?): use the URL of the primary")]
    ReadOnly,
    /// The schema is missing or old, and the user may not change it.
    #[error(
        "the user may not bring the schema up to date: run `orchestrator migrate` once as the owner of the database, \
        with the right to create roles"
    )]
    MayNotMigrate,
    /// The user does not belong to the application's role.
    #[error(
        "the user does not belong to the role orchestrator_app: run `GRANT orchestrator_app TO <user>` as an administrator"
    )]
    NoRole,
    /// The disk is full.
    #[error("the disk of Postgres is full: make room, nothing is lost")]
    DiskFull,
    /// TLS did not come about.
    #[error(
        "no TLS connection to Postgres: check `sslmode` and `sslrootcert` in the URL, and the server's certificate"
    )]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    /// Something else.
    #[error("Postgres could not be opened")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

impl OpenError {
    /// What an error of the driver means to whoever opens the store.
    pub(crate) fn of(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
        match code.as_deref() {
            Some("28P01" | "28000") => Self::Refused,
            Some("3D000") => Self::UnknownDatabase,
            Some("53300") => Self::TooManyConnections,
            Some("53100") => Self::DiskFull,
            Some("25006") => Self::ReadOnly,
            Some("42501") => Self::MayNotMigrate,
            _ => match error {
                sqlx::Error::Tls(error) => Self::Tls(error),
                error => Self::Other(error.into()),
            },
        }
    }

    fn connecting(options: &PgOptions, error: sqlx::Error) -> Self {
        match error {
            // What a certificate is refused for comes as an error of the connection.
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Self::Tls(error.into()),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => {
                Self::Unreachable { place: options.place(), source: error.into() }
            }
            error => Self::of(error),
        }
    }
}

/// What each connection is told first. A commit is on disk before it is acknowledged, whatever the database's default is. Every
/// statement is written to walk along an index: plans are made once, and a table that was empty then must not be read whole later.
const SESSION: &str = "SELECT set_config('search_path', 'orchestrator', false), \
    set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false), \
    set_config('idle_in_transaction_session_timeout', '60s', false), set_config('jit', 'off', false), \
    set_config('client_min_messages', 'warning', false), \
    set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false), \
    set_config('enable_bitmapscan', 'off', false), \
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
      ELSE current_setting('synchronous_commit') END, false)";
const ROLE: &str = "SET ROLE orchestrator_app";

async fn prepare(conn: &mut PgConnection, options: &PgOptions) -> Result<(), sqlx::Error> {
    let longest = options.statement_timeout.as_millis();
    sqlx::query(SESSION).bind(longest.to_string()).bind((longest / 2).to_string()).execute(&mut *conn).await.map(drop)
}

async fn connect(options: &PgOptions) -> Result<PgConnection, OpenError> {
    let connecting = timeout(LONGEST, options.connect.connect()).await;
    let conn = connecting.unwrap_or_else(|late| Err(sqlx::Error::Io(std::io::Error::other(late))));
    conn.map_err(|error| OpenError::connecting(options, error))
}

impl PgStore {
    /// Opens a store: brings the schema up to date if it is not, and connects.
    ///
    /// Dropping the future leaves nothing half done: a migration is one transaction.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: PgOptions) -> Result<Self, OpenError> {
        // Boxed here, where no lifetime is generic: else the compiler cannot see that callers may send the future.
        let opening: BoxFuture<Result<Self, OpenError>> = Box::pin(open(options));
        opening.await
    }

    /// Brings the schema up to date without opening a store. Answers the names of the migrations that were run.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn migrate(options: PgOptions) -> Result<Vec<String>, OpenError> {
        let migrating: BoxFuture<Result<Vec<String>, OpenError>> = Box::pin(migrate(options));
        migrating.await
    }

    /// How the database stands, for whoever looks after it. Migrates nothing, and leaves nothing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn inspect(options: PgOptions) -> Result<Inspection, OpenError> {
        let inspecting: BoxFuture<Result<Inspection, OpenError>> = Box::pin(inspect(options));
        inspecting.await
    }
}

async fn open(options: PgOptions) -> Result<PgStore, OpenError> {
    migrate(options.clone()).await?;
    let mut conn = connect(&options).await?;
    if schema::read_only(&mut conn).await? {
        return Err(OpenError::ReadOnly);
    }
    if !schema::has_room(&mut conn).await? {
        return Err(OpenError::DiskFull);
    }
    if let Err(error) = sqlx::query(ROLE).execute(&mut conn).await {
        return Err(match OpenError::of(error) {
            OpenError::MayNotMigrate => OpenError::NoRole,
            other => other,
        });
    }
    let _ = conn.close().await;
    let pool = pool(&options);
    let node: String = std::iter::repeat_with(fastrand::alphanumeric).take(16).collect();
    let shared = Arc::new(Shared::new(pool, options, node));
    Ok(PgStore::start(shared).await)
}

const PATH: &str = "SELECT set_config('search_path', 'orchestrator', false)";

async fn migrate(options: PgOptions) -> Result<Vec<String>, OpenError> {
    let mut conn = connect(&options).await?;
    sqlx::query(PATH).execute(&mut conn).await.map_err(OpenError::of)?;
    let done = schema::bring_up(&mut conn).await;
    let _ = conn.close().await;
    done
}

async fn inspect(options: PgOptions) -> Result<Inspection, OpenError> {
    const ASK: &str = "SELECT current_setting('server_version_num')::integer AS version, \
            current_setting('max_connections')::bigint AS max_connections, \
            (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections, \
            current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync')::boolean AS fsync, \
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now";
    let mut conn = connect(&options).await?;
    sqlx::query(PATH).execute(&mut conn).await.map_err(OpenError::of)?;
    let row = sqlx::query(ASK).fetch_one(&mut conn).await.map_err(OpenError::of)?;
    let missing = schema::missing(&mut conn).await?;
    let read_only = schema::read_only(&mut conn).await?;
    let disk_full = !read_only && !schema::has_room(&mut conn).await?;
    let get = |column| row.try_get::<i64, _>(column).map_err(OpenError::of);
    let inspection = Inspection {
        version: row.try_get("version").map_err(OpenError::of)?,
        max_connections: get("max_connections")?,
        connections: get("connections")?,
        synchronous_commit: row.try_get("synchronous_commit").map_err(OpenError::of)?,
        fsync: row.try_get("fsync").map_err(OpenError::of)?,
        now_ms: get("now")?,
        missing,
        read_only,
        disk_full,
    };
    let _ = conn.close().await;
    Ok(inspection)
}

/// How a database stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspection {
    /// The server's version, as 150018.
    pub version: i32,
    /// How many connections it allows.
    pub max_connections: i64,
    /// How many there are.
    pub connections: i64,
    /// Its default for `synchronous_commit`.
    pub synchronous_commit: String,
    /// Whether it writes to the disk when it says so.
    pub fsync: bool,
    /// Its clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// The migrations that it has not had.
    pub missing: Vec<String>,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Whether its disk takes nothing new.
    pub disk_full: bool,
}

fn pool(options: &PgOptions) -> PgPool {
    let prepared = options.clone();
    PgPoolOptions::new()
        .min_connections(1)
        .max_connections(options.connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(std::time::Duration::from_secs(10 * 60))
        .max_lifetime(std::time::Duration::from_secs(30 * 60))
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                // Only what was idle is asked: what was used just now is alive.
                Ok(meta.idle_for.as_secs() < 30 || conn.ping().await.is_ok())
            })
        })
        .after_connect(move |conn, _| {
            let options = prepared.clone();
            Box::pin(async move {
                prepare(conn, &options).await?;
                sqlx::query(ROLE).execute(conn).await.map(drop)
            })
        })
        .connect_lazy_with(options.connect.clone())
}
