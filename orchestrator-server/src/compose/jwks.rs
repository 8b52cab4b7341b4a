//! Key sets of other issuers, fetched through the egress guard.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use orchestrator_connectors::EgressClient;
use orchestrator_connectors::egress::{BodyLimit, EgressLimits};
use orchestrator_http::tokens::{JwksFetchError, JwksFetcher};
use url::Url;

/// A key set is far smaller.
const LIMITS: EgressLimits = EgressLimits { success: BodyLimit::Whole(1 << 20), other: BodyLimit::Beginning(1024) };

/// Fetches key sets through the egress guard.
pub(super) struct GuardedJwks(pub(super) EgressClient);

#[async_trait]
impl JwksFetcher for GuardedJwks {
    async fn fetch(&self, url: &Uri) -> Result<Bytes, JwksFetchError> {
        let url = Url::parse(&url.to_string()).map_err(|error| JwksFetchError(error.into()))?;
        let answer = self.0.send(Method::GET, url, HeaderMap::new(), Bytes::new(), LIMITS).await;
        let answer = answer.map_err(|error| JwksFetchError(error.into()))?;
        if answer.status.is_success() {
            Ok(answer.body)
        } else {
            Err(JwksFetchError(format!("the issuer answered {}", answer.status).into()))
        }
    }
}
