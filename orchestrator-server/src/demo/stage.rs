//! What stands on the demo's stage: an install, two products, an upstream.

use std::time::Duration;

use anyhow::Context;
use orchestrator_client::{Client, Retry};
use orchestrator_types::{
    Bundle, EventView, IdentityRequest, Name, SecretRef, SecretRequest, WorkspaceConfig, WorkspaceId, scope,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::product::Product;
use super::upstream::Upstream;
use crate::compose::{self, Running};
use crate::settings::Settings;

const BUILDOS: &str = include_str!("../../../examples/bundles/buildos-dev.json");
const BEAUTY: &str = include_str!("../../../examples/bundles/beauty-dev.json");
const DRAIN: Duration = Duration::from_secs(5);

/// A product to be onboarded, and what it shares with its provider.
pub(crate) struct Tenant {
    pub(crate) workspace: WorkspaceId,
    pub(crate) bundle: Bundle,
    pub(crate) product: Product,
    /// The account of its Stripe route.
    pub(crate) account: String,
    /// The key of its route that nobody is called for.
    pub(crate) polled_key: Option<Name>,
    /// What Stripe signs with.
    pub(crate) stripe_secret: String,
    callback_secret: String,
}

/// The stage.
pub(crate) struct Stage {
    running: Running,
    folder: tempfile::TempDir,
    end: CancellationToken,
    pub(crate) url: String,
    pub(crate) ops_url: String,
    pub(crate) upstream: Upstream,
    pub(crate) buildos: Tenant,
    pub(crate) beauty: Tenant,
}

impl Stage {
    /// Starts everything, in a temporary folder and on free ports.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let end = CancellationToken::new();
        let upstream = Upstream::start(end.clone()).await?;
        let buildos = Tenant::of(BUILDOS, &upstream, &end).await.context("the bundle of buildos-dev")?;
        let beauty = Tenant::of(BEAUTY, &upstream, &end).await.context("the bundle of beauty-dev")?;
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let running = compose::start(Settings::for_demo(folder.path())?).await?;
        let (url, ops_url) = (running.api_url().to_owned(), running.ops_url().to_owned());
        Ok(Self { running, folder, end, url, ops_url, upstream, buildos, beauty })
    }

    /// Ends everything.
    pub(crate) async fn strike(self) {
        self.running.shutdown(DRAIN).await;
        self.end.cancel();
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the demo's folder could not be removed");
        }
    }

    /// A token of the install's administrator, for an hour.
    pub(crate) fn admin_token(&self) -> anyhow::Result<String> {
        self.running.mint(scope::AUDIENCE_CONTROL, "demo-admin", None, scope::ADMIN, Duration::from_secs(3_600))
    }

    /// The administrator's client.
    pub(crate) fn admin(&self) -> anyhow::Result<Client> {
        Ok(Client::builder(&self.url).ops_url(&self.ops_url).token(self.admin_token()?).build()?)
    }

    /// A product's client, as a service identity of its own. It does not retry, so that the walk sees each answer.
    pub(crate) async fn product_client(&self, tenant: &Tenant) -> anyhow::Result<Client> {
        let name = format!("svc:{}-backend", tenant.workspace.product());
        let request = IdentityRequest {
            name: name.parse()?,
            scopes: scope::EXEC.iter().map(ToString::to_string).collect(),
            public_key: None,
        };
        let identity = self.admin()?.workspace(&tenant.workspace).create_identity(&request).await?;
        let secret = identity.client_secret.context("the identity has no secret")?;
        let client = Client::builder(&self.url).client_credentials(identity.client_id, secret);
        Ok(client.retry(Retry::never()).build()?)
    }

    /// A sender without a token.
    pub(crate) fn stranger(&self) -> anyhow::Result<Client> {
        Ok(Client::builder(&self.url).retry(Retry::never()).build()?)
    }

    /// Whatever happened, by workspace.
    pub(crate) async fn streams(&self) -> Vec<(String, Vec<EventView>)> {
        let mut streams = Vec::new();
        for tenant in [&self.buildos, &self.beauty] {
            let store = self.running.orchestrator();
            let page = store
                .events()
                .page(&tenant.workspace, None, &Default::default(), 500, Duration::ZERO)
                .await
                .map(|page| page.items)
                .unwrap_or_default();
            streams.push((tenant.workspace.to_string(), page));
        }
        streams
    }
}

impl Tenant {
    async fn of(bundle: &str, upstream: &Upstream, end: &CancellationToken) -> anyhow::Result<Self> {
        let mut bundle: Bundle = serde_json::from_str(bundle)?;
        let callback_secret = format!("whsec_{}", data_encoding::BASE64.encode(&random()));
        let stripe_secret = format!("whsec_demo{}", data_encoding::HEXLOWER.encode(&random()));
        let product = Product::start(&callback_secret, end.clone()).await?;
        for connector in bundle.config.connectors.values_mut() {
            connector.settings["base_url"] = json!(upstream.url);
        }
        for callback in bundle.config.callbacks.values_mut() {
            callback.url.clone_from(&product.url);
        }
        let routes = &bundle.config.webhook_routes;
        let account = routes.values().find_map(|route| route.account.clone()).context("it has no route by account")?;
        let polled_key =
            routes.values().find(|route| route.callback.is_none()).and_then(|route| route.route_key.clone());
        let workspace = bundle.workspace.clone();
        Ok(Self { workspace, bundle, product, account, polled_key, stripe_secret, callback_secret })
    }

    /// The secrets that its references point to, by the names in the encrypted store.
    pub(crate) fn secrets(&self) -> Vec<(Name, SecretRequest)> {
        let config = &self.bundle.config;
        let stored = config.secret_refs.iter().filter_map(|(reference, source)| match source {
            SecretRef::Stored { name } => Some((reference, name)),
            _ => None,
        });
        stored.map(|(reference, name)| (name.clone(), SecretRequest { value: self.value(config, reference) })).collect()
    }

    fn value(&self, config: &WorkspaceConfig, reference: &Name) -> String {
        if config.callbacks.values().any(|callback| callback.signing_secret == *reference) {
            self.callback_secret.clone()
        } else if config.webhook_routes.values().any(|route| route.signing_secret == *reference) {
            self.stripe_secret.clone()
        } else {
            format!("token-of-{}", self.workspace)
        }
    }
}

fn random() -> [u8; 32] {
    // The demo's secrets protect nothing: they live as long as its temporary folder.
    std::array::from_fn(|_| fastrand::u8(..))
}
