//! The parts of a server behind its listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_connectors::{EgressClient, EgressPolicy, HttpCallbacks, HttpKind, S3Kind, SmtpKind};
use orchestrator_core::Orchestrator;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::secrets::seal::KeyRing;
use orchestrator_http::Api;
use orchestrator_http::metrics::Metrics;
use orchestrator_http::tokens::TokenAuthority;
use orchestrator_store_sqlite::SqliteStore;

use super::jwks::GuardedJwks;
use super::payloads;
use crate::Server;
use crate::keys;
use crate::settings::Settings;

pub(super) struct Parts {
    pub(super) engine: Orchestrator,
    pub(super) tokens: Arc<TokenAuthority>,
    pub(super) api: Api,
}

/// Puts the parts together. `own` are the listeners' addresses: no call of a tenant reaches them.
pub(super) async fn build(settings: &Settings, own: &[SocketAddr], server: &Server) -> anyhow::Result<Parts> {
    let policy = EgressPolicy::new(settings.egress_allow.clone()).refusing_own(own.to_vec());
    let client = EgressClient::new(policy)?;
    let store = Arc::new(SqliteStore::open(&settings.store, SystemClock::shared()).await?);
    let ring = Arc::new(keys::open_ring(&settings.secrets, store.as_ref(), &settings.environment).await?);
    let payloads = payloads::open(&settings.payloads, &client)?;
    let mut builder = Orchestrator::builder()
        .environment(settings.environment.as_str())
        .store(store)
        .keys(ring.clone())
        .payloads(payloads)
        .payload_max_bytes(settings.payloads.max_bytes)
        .connector(HttpKind::new(client.clone()))
        .connector(SmtpKind::new(client.clone()))
        .connector(S3Kind::new(client.clone()))
        .callbacks(Arc::new(HttpCallbacks::new(client.clone())));
    for kind in server.kinds(&client) {
        builder = builder.connector(kind);
    }
    if let Some(dir) = &settings.secrets.dir {
        builder = builder.secrets_dir(dir);
    }
    if settings.roles.worker {
        builder = builder.worker(settings.workers.clone());
    }
    let engine = builder.build().await?;
    match tokens(settings, &engine, &ring, client).await {
        Ok(tokens) => {
            let (tokens, metrics) = (Arc::new(tokens), Arc::new(Metrics::default()));
            let api = Api::new(engine.clone(), tokens.clone(), metrics, settings.api_limits.clone());
            Ok(Parts { engine, tokens, api })
        }
        Err(error) => {
            engine.shutdown(Duration::ZERO).await;
            Err(error)
        }
    }
}

async fn tokens(
    settings: &Settings,
    engine: &Orchestrator,
    ring: &KeyRing,
    client: EgressClient,
) -> anyhow::Result<TokenAuthority> {
    let signing = keys::signing_keys(engine.store().as_ref(), ring, engine.environment()).await?;
    let builder = TokenAuthority::builder(engine.environment().clone(), signing, SystemClock::shared());
    Ok(builder.issuers(settings.issuers.clone()).fetcher(Arc::new(GuardedJwks(client))).build()?)
}
