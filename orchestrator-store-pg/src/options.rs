//! Where the database is, and how it is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::open::OpenError;

/// How many connections a node keeps if nothing else is said.
const CONNECTIONS: u32 = 12;
/// How long a statement may take if nothing else is said.
const STATEMENT: Duration = Duration::from_secs(20);
/// How long one waits for a free connection.
pub(crate) const ACQUIRE: Duration = Duration::from_secs(5);
/// So long a part of a day's rows may stay after their time, so that they are dropped with their day and not deleted.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a store is opened. It holds the password: it is not printed.
#[derive(Clone)]
pub struct PgOptions {
    pub(crate) connect: PgConnectOptions,
    pub(crate) connections: u32,
    pub(crate) statement_timeout: Duration,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) linger: Duration,
}

impl PgOptions {
    /// Options of a URL `postgres://user:password@host:port/database`, with the parameters that libpq knows, `sslmode` and
    /// `sslrootcert` among them.
    ///
    /// # Errors
    /// It is no such URL. What it says is not repeated.
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let parsed = Url::parse(url).map_err(|_| OpenError::Url)?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(OpenError::Url);
        }
        let connect: PgConnectOptions = url.parse().map_err(|_| OpenError::Url)?;
        if connect.get_database().is_none_or(str::is_empty) {
            return Err(OpenError::NoDatabase);
        }
        Ok(Self {
            connect: connect.application_name("orchestrator"),
            connections: CONNECTIONS,
            statement_timeout: STATEMENT,
            clock: None,
            linger: DAY,
        })
    }

    /// How many connections the store keeps at most; 12 if nothing is said. Fewer than 4 are 4.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(4);
        self
    }

    /// How many connections the store keeps at most.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// How long one statement may take; 20 s if nothing is said.
    #[must_use]
    pub fn statement_timeout(mut self, longest: Duration) -> Self {
        self.statement_timeout = longest.max(Duration::from_millis(100));
        self
    }

    /// Takes the time from `clock` instead of the database: for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long rows past their time may stay, so that they go with their day's partition instead of one by one; a day if
    /// nothing is said. Zero deletes at once.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Whether the server is asked for TLS, and must have it.
    #[must_use]
    pub fn requires_tls(&self) -> bool {
        matches!(self.connect.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull)
    }

    /// Where the database is, without who opens it.
    #[must_use]
    pub fn place(&self) -> String {
        let host = match self.connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => self.connect.get_host().to_owned(),
        };
        format!("{host}:{}/{}", self.connect.get_port(), self.connect.get_database().unwrap_or_default())
    }
}

impl fmt::Debug for PgOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PgOptions")
            .field("place", &self.place())
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
