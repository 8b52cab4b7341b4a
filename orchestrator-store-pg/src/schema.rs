//! The schema: numbered migrations, forward only.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};

use crate::open::OpenError;

macro_rules! migrations {
    ($($version:literal $name:literal $file:literal)*) => {
        vec![$(Migration::new(
            $version,
            Cow::Borrowed($name),
            MigrationType::Simple,
            include_str!(concat!("../migrations/", $file)).into_sql_str(),
            false,
        )),*]
    };
}

fn migrator() -> Migrator {
    Migrator::with_migrations(migrations! {
        1 "schema" "0001_schema.sql"
        2 "jobs" "0002_jobs.sql"
        3 "duties" "0003_duties.sql"
        4 "partitions" "0004_partitions.sql"
        5 "calls" "0005_calls.sql"
        6 "walks" "0006_walks.sql"
    })
}

/// What a database holds of the schema.
enum Standing {
    /// Everything.
    Current,
    /// These are missing.
    Behind(Vec<String>),
}

/// Brings the schema up to date. Answers the names of what was run. Several nodes may do it at once: the migrator holds an
/// advisory lock.
pub(crate) async fn bring_up(conn: &mut PgConnection) -> Result<Vec<String>, OpenError> {
    const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS orchestrator";
    let migrator = migrator();
    let missing = match standing(conn, &migrator).await? {
        Standing::Current => return Ok(Vec::new()),
        Standing::Behind(missing) => missing,
    };
    if read_only(conn).await? {
        return Err(OpenError::ReadOnly);
    }
    // Two that create it at once meet each other's entry in the catalogue: then it is there.
    if let Err(error) = sqlx::query(CREATE).execute(&mut *conn).await
        && error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() != Some("23505")
    {
        return Err(OpenError::of(error));
    }
    match migrator.run_direct(None, conn, false).await {
        Ok(()) => Ok(missing),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(OpenError::of(error)),
        Err(MigrateError::VersionMissing(_)) => Err(OpenError::NewerSchema),
        Err(MigrateError::VersionMismatch(version)) => Err(OpenError::OtherSchema(version)),
        Err(error) => Err(OpenError::Other(error.into())),
    }
}

async fn standing(conn: &mut PgConnection, migrator: &Migrator) -> Result<Standing, OpenError> {
    look(conn, migrator).await.map_err(|error| match error {
        // The schema is there, and this user may not even look into it.
        OpenError::MayNotMigrate => OpenError::NoRole,
        other => other,
    })
}

async fn look(conn: &mut PgConnection, migrator: &Migrator) -> Result<Standing, OpenError> {
    const THERE: &str = "SELECT to_regclass('orchestrator._sqlx_migrations') IS NOT NULL";
    const APPLIED: &str = "SELECT version, success, checksum FROM orchestrator._sqlx_migrations ORDER BY version";
    let mut applied = BTreeMap::new();
    if sqlx::query_scalar::<_, bool>(THERE).fetch_one(&mut *conn).await.map_err(unread)? {
        let rows: Vec<(i64, bool, Vec<u8>)> = sqlx::query_as(APPLIED).fetch_all(&mut *conn).await.map_err(unread)?;
        applied.extend(rows.into_iter().map(|(version, success, checksum)| (version, (success, checksum))));
    }
    let known: BTreeMap<i64, &Migration> = migrator.iter().map(|migration| (migration.version, migration)).collect();
    if applied.keys().any(|version| !known.contains_key(version)) {
        return Err(OpenError::NewerSchema);
    }
    let mut missing = Vec::new();
    for (version, migration) in known {
        match applied.get(&version) {
            Some((true, checksum)) if checksum.as_slice() == migration.checksum.as_ref() => {}
            Some(_) => return Err(OpenError::OtherSchema(version)),
            None => missing.push(format!("{version:04}_{}", migration.description)),
        }
    }
    Ok(if missing.is_empty() { Standing::Current } else { Standing::Behind(missing) })
}

/// Who may not read the schema that is there does not belong to the application's role.
fn unread(error: sqlx::Error) -> OpenError {
    match OpenError::of(error) {
        OpenError::MayNotMigrate => OpenError::NoRole,
        other => other,
    }
}

/// The migrations that the database has not had.
pub(crate) async fn missing(conn: &mut PgConnection) -> Result<Vec<String>, OpenError> {
    Ok(match standing(conn, &migrator()).await? {
        Standing::Current => Vec::new(),
        Standing::Behind(missing) => missing,
    })
}

/// Whether the disk takes what is new: a temporary table needs pages, and is undone. A user who may not make one does not learn it.
pub(crate) async fn has_room(conn: &mut PgConnection) -> Result<bool, OpenError> {
    const PROBE: &str = "CREATE TEMPORARY TABLE orchestrator_probe ON COMMIT DROP AS \
        SELECT (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 60) WHERE i > 0) AS room \
        FROM generate_series(1, 128) i";
    let mut transaction = conn.begin().await.map_err(OpenError::of)?;
    let probed = sqlx::query(PROBE).execute(&mut *transaction).await.map_err(OpenError::of);
    transaction.rollback().await.map_err(OpenError::of)?;
    match probed {
        Ok(_) | Err(OpenError::MayNotMigrate) => Ok(true),
        Err(OpenError::DiskFull) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Whether nothing can be written here: a replica, or a database that was set so.
pub(crate) async fn read_only(conn: &mut PgConnection) -> Result<bool, OpenError> {
    const ASK: &str = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    sqlx::query_scalar(ASK).fetch_one(conn).await.map_err(OpenError::of)
}
