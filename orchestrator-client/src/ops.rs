//! Whether the server lives and takes work. No token is needed.

use http::StatusCode;

use crate::client::Client;
use crate::error::Error;
use crate::transport::{Call, Caller, Listener};

impl Client {
    /// Whether the server is alive: `Ok` if it is.
    ///
    /// # Errors
    /// An [`Error`] if it does not answer, or not well. It is asked once.
    pub async fn health(&self) -> Result<(), Error> {
        let call = Call::get("health", ["healthz"]).on(Listener::Ops).anonymous().once();
        self.transport().send(&call, Caller::NOBODY).await.map(|_| ())
    }

    /// Whether the server takes work; not while it drains, or its store or queue does not answer (503).
    ///
    /// # Errors
    /// An [`Error`] if there is another answer, or none. It is asked once.
    pub async fn ready(&self) -> Result<bool, Error> {
        let call = Call::get("ready", ["readyz"]).on(Listener::Ops).anonymous().once();
        let reply = self.transport().exchange(&call, Caller::NOBODY).await?;
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(false);
        }
        reply.into_result().map(|_| true)
    }
}
