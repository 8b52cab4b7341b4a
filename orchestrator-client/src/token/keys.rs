//! The keys that tokens are verified with.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

impl Client {
    /// The server's public keys as a JWK set (RFC 7517), for whoever verifies its tokens. No token is needed.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn keys(&self) -> Result<Value, Error> {
        self.body(&Call::get("get_keys", [".well-known", "jwks.json"]).anonymous()).await
    }
}
