//! The parts of a server behind its listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use orchestrator_connectors::{
    EgressClient, EgressPolicy, HttpCallbacks, HttpKind, S3Kind, SmtpKind, StripeKind, Vault,
};
use orchestrator_core::Orchestrator;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::secrets::seal::KeyRing;
use orchestrator_core::secrets::{InstallKeys, key_usage};
use orchestrator_core::store::Store;
use orchestrator_http::Api;
use orchestrator_http::metrics::Metrics;
use orchestrator_http::tokens::TokenAuthority;
use orchestrator_queue_redis::RedisQueue;

use super::jwks::GuardedJwks;
use super::payloads;
use crate::Server;
use crate::keys;
use crate::settings::{QueuePlace, Settings, VaultSettings};
use crate::stores;

pub(super) struct Parts {
    pub(super) engine: Orchestrator,
    pub(super) tokens: Arc<TokenAuthority>,
    pub(super) api: Api,
    pub(super) vault: Option<Vault>,
}

/// Puts the parts together. `own` are the listeners' addresses: no call of a tenant reaches them.
pub(super) async fn build(settings: &Settings, own: &[SocketAddr], server: &Server) -> anyhow::Result<Parts> {
    let policy = EgressPolicy::new(settings.egress_allow.clone()).refusing_own(own.to_vec());
    let client = EgressClient::new(policy)?;
    // Before the store: a start that is refused has changed nothing.
    let redis = match &settings.queue {
        QueuePlace::Redis(options) => Some(RedisQueue::connect(options).await?),
        QueuePlace::Store => None,
    };
    let store = stores::open(&settings.store).await?;
    let payloads = payloads::open(&settings.payloads, &client)?;
    let keys = Arc::new(install_keys(settings, store.as_ref()).await?);
    let vault = settings.secrets.vault.as_ref().map(|vault| to_vault(settings, vault)).transpose()?;
    let mut builder = Orchestrator::builder()
        .environment(settings.environment.as_str())
        .store(store)
        .install_keys(keys.clone())
        .payloads(payloads)
        .payload_max_bytes(settings.payloads.max_bytes)
        .connector(HttpKind::new(client.clone()))
        .connector(StripeKind::new(client.clone()))
        .connector(SmtpKind::new(client.clone()))
        .connector(S3Kind::new(client.clone()))
        .callbacks(Arc::new(HttpCallbacks::new(client.clone())));
    for kind in server.kinds(&client) {
        builder = builder.connector(kind);
    }
    if let Some(dir) = &settings.secrets.dir {
        builder = builder.secrets_dir(dir);
    }
    if let (Some(vault), Some(given)) = (&vault, &settings.secrets.vault) {
        builder = builder.vault(Arc::new(vault.clone()), given.prefix.clone());
    }
    if let Some(redis) = redis {
        builder = builder.queue(redis.queue).token_leases(redis.limits);
        builder = builder.config_notices(redis.notices).seen_keys(redis.seen_keys);
    }
    if settings.roles.worker {
        builder = builder.worker(settings.workers.clone());
    }
    let engine = builder.build().await?;
    match tokens(settings, &engine, &keys.ring(), client).await {
        Ok(tokens) => {
            let (tokens, metrics) = (Arc::new(tokens), Arc::new(Metrics::default()));
            let api = Api::new(engine.clone(), tokens.clone(), metrics, settings.api_limits.clone());
            Ok(Parts { engine, tokens, api, vault })
        }
        Err(error) => {
            engine.shutdown(Duration::ZERO).await;
            Err(error)
        }
    }
}

/// The install's keys, if nothing is sealed by one that is not among them.
async fn install_keys(settings: &Settings, store: &dyn Store) -> anyhow::Result<InstallKeys> {
    let ring = keys::open_ring(&settings.secrets, store, &settings.environment).await?;
    if let Some(lacking) = key_usage(store).await?.lacking(&ring) {
        bail!(lacking);
    }
    Ok(InstallKeys::of(Arc::new(keys::KeyFiles(settings.secrets.clone())), ring))
}

/// The way to the vault. It is the operator's own, so it may be where no tenant's call leads.
pub(crate) fn to_vault(settings: &Settings, vault: &VaultSettings) -> anyhow::Result<Vault> {
    let policy = EgressPolicy::new([settings.egress_allow.as_slice(), &vault.allow].concat());
    let client = match &vault.ca_file {
        Some(path) => {
            let file = || format!("`secrets.vault_ca_file`, {}", path.display());
            let pem = std::fs::read_to_string(path).with_context(file)?;
            EgressClient::trusting(policy, &pem)
                .map_err(|_| anyhow!("it holds no CA certificates in PEM"))
                .with_context(file)?
        }
        None => EgressClient::new(policy)?,
    };
    Ok(Vault::new(client, vault.options.clone()))
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
