//! The connections. Commands go over few shared ones, which answer many at once and survive a caller that goes away; each answer
//! has a deadline, and a connection that failed is replaced.

use std::sync::Mutex as SyncMutex;
use std::sync::PoisonError;
use std::time::Duration;

use deadpool_redis::{Manager, Pool, PoolError, Runtime, Timeouts};
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, ScriptInvocation,
    ServerErrorKind, Value,
};
use tokio::time::timeout;

use crate::options::RedisOptions;

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(1);
/// An answer takes no longer.
const ANSWER: Duration = Duration::from_millis(500);
/// All of it together, with a script that has to be sent and a node that has to be found.
const ALTOGETHER: Duration = Duration::from_secs(2);

/// What may be asked of Redis at a time: bulk does not stand in front of what somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Somebody waits for it.
    Prompt,
    /// It may be large.
    Bulk,
}

/// Why Redis did not do it. Prints no password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Away {
    /// It did not answer in time.
    #[error("Redis did not answer in time")]
    Late,
    /// It cannot be connected to, or said no.
    #[error("{}", plain(.0))]
    Redis(#[from] RedisError),
    /// There is no connection to be had.
    #[error("no connection to Redis: {0}")]
    Pool(String),
}

impl Away {
    /// Whether who we are was refused: waiting does not help.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Redis(error) if error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM")))
    }
}

fn plain(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "Redis refuses the user or password".to_owned(),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => "this Redis is read-only: a replica".to_owned(),
        _ if error.code() == Some("OOM") => "Redis is full: its `maxmemory` is reached".to_owned(),
        _ if error.code() == Some("NOAUTH") => "Redis asks for a password".to_owned(),
        _ if error.is_timeout() => "Redis did not answer in time".to_owned(),
        _ => error.to_string().chars().filter(|letter| !letter.is_control()).take(200).collect(),
    }
}

/// The way to Redis.
pub(crate) struct Place {
    kind: Kind,
    nodes: Vec<Client>,
}

enum Kind {
    /// One server: a pool of shared connections, of which each line holds one.
    Single { pool: Pool, lines: Box<[SyncMutex<Option<deadpool_redis::Connection>>; 2]> },
    /// A cluster: its connection finds the nodes, and finds them again.
    Cluster { client: Box<ClusterClient>, held: SyncMutex<Option<ClusterConnection>> },
}

impl Place {
    /// Does not connect yet.
    pub(crate) fn new(options: &RedisOptions) -> Result<Self, Away> {
        let nodes: Result<Vec<_>, _> = options.nodes.iter().map(|info| Client::open(info.clone())).collect();
        let nodes = nodes?;
        let kind = match options.nodes.first() {
            Some(info) if !options.cluster => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(ANSWER));
                let manager = Manager::new_with_config(info.clone(), config)?;
                let timeouts = Timeouts { wait: Some(CONNECT), create: Some(CONNECT * 2), recycle: Some(ANSWER) };
                let pool = Pool::builder(manager).max_size(4).runtime(Runtime::Tokio1).timeouts(timeouts).build();
                let pool = pool.map_err(|error| Away::Pool(error.to_string()))?;
                Kind::Single { pool, lines: Box::default() }
            }
            _ => {
                let mut builder = ClusterClient::builder(options.nodes.clone())
                    .connection_timeout(CONNECT)
                    .response_timeout(ANSWER)
                    .overall_response_timeout(Some(ALTOGETHER))
                    .retries(3)
                    .max_retry_wait(200);
                if let Some(certificates) = &options.certificates {
                    builder = builder.certs(certificates.clone());
                }
                Kind::Cluster { client: Box::new(builder.build()?), held: SyncMutex::default() }
            }
        };
        Ok(Self { kind, nodes })
    }

    /// Runs a script.
    pub(crate) async fn run<T: redis::FromRedisValue>(
        &self,
        line: Line,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, Away> {
        self.within(line, async |mut connection| script.invoke_async(&mut connection).await).await
    }

    /// Runs a command.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        self.within(Line::Prompt, async |mut connection| command.query_async(&mut connection).await).await
    }

    async fn within<T>(&self, line: Line, ask: impl AsyncFnOnce(Shared) -> Result<T, RedisError>) -> Result<T, Away> {
        let answer = timeout(ALTOGETHER, async {
            let connection = self.connection(line).await?;
            Ok(ask(connection).await?)
        });
        let answer = answer.await.unwrap_or(Err(Away::Late));
        if let Err(error) = &answer
            && is_of_connection(error)
        {
            self.drop_connection(line);
        }
        answer
    }

    async fn connection(&self, line: Line) -> Result<Shared, Away> {
        match &self.kind {
            Kind::Single { pool, lines } => {
                let held = &lines[line as usize];
                if let Some(connection) = &*locked(held) {
                    return Ok(Shared::Single((**connection).clone()));
                }
                let fresh = pool.get().await.map_err(|error| match error {
                    PoolError::Backend(error) => Away::Redis(error),
                    PoolError::Timeout(_) => Away::Late,
                    other => Away::Pool(other.to_string()),
                })?;
                let shared = Shared::Single((*fresh).clone());
                *locked(held) = Some(fresh);
                Ok(shared)
            }
            Kind::Cluster { client, held } => {
                if let Some(connection) = &*locked(held) {
                    return Ok(Shared::Cluster(connection.clone()));
                }
                let fresh = client.get_async_connection().await?;
                *locked(held) = Some(fresh.clone());
                Ok(Shared::Cluster(fresh))
            }
        }
    }

    fn drop_connection(&self, line: Line) {
        match &self.kind {
            Kind::Single { lines, .. } => {
                // Not back into the pool: it may be half dead, and asking it would take as long as it took now.
                if let Some(connection) = locked(&lines[line as usize]).take() {
                    drop(deadpool_redis::Connection::take(connection));
                }
            }
            Kind::Cluster { held, .. } => *locked(held) = None,
        }
    }

    /// A connection of its own that hears what is published. Of a cluster any node will do.
    pub(crate) async fn listen(&self) -> Result<PubSub, Away> {
        let mut last = Away::Late;
        // Not always the same one first.
        let from = fastrand::usize(..self.nodes.len().max(1));
        for node in self.nodes.iter().cycle().skip(from).take(self.nodes.len()) {
            match timeout(CONNECT, node.get_async_pubsub()).await {
                Ok(Ok(listening)) => return Ok(listening),
                Ok(Err(error)) => last = Away::Redis(error),
                Err(_) => last = Away::Late,
            }
        }
        Err(last)
    }
}

fn locked<T>(mutex: &SyncMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether another connection may do better.
fn is_of_connection(error: &Away) -> bool {
    match error {
        Away::Late | Away::Pool(_) => true,
        // A replica that was a master: the name may lead to the new one.
        Away::Redis(error) => {
            error.is_io_error()
                || error.is_timeout()
                || error.is_connection_dropped()
                || error.is_unrecoverable_error()
                || error.is_cluster_error()
                || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        }
    }
}

/// A connection that many use at once.
#[derive(Clone)]
enum Shared {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Shared {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
