//! An install of several nodes on servers of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrator_client::{Client, Retry};
use orchestrator_conformance::servers::{Keeper, PostgresServer, RedisServer};
use orchestrator_types::{Bundle, IdentityRequest, SecretRequest, scope};
use serde_json::json;

use crate::faults::Kind;
use crate::node::Node;
use crate::product::{CALLBACK_SECRET, World};

/// What the senders of webhooks sign with.
pub(crate) const STRIPE_SECRET: &str = "whsec_chaos";
/// The shortest lease: a paused worker outlives it soon.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// Two API nodes, two workers, a database and a queue.
pub(crate) struct Install {
    // In this order they end.
    pub(crate) nodes: Vec<Node>,
    pub(crate) postgres: PostgresServer,
    pub(crate) redis: Option<RedisServer>,
    pub(crate) database: String,
    keeper: Keeper,
    folder: PathBuf,
}

/// A workspace, and who speaks for it at each API node.
pub(crate) struct Tenant {
    pub(crate) workspace: String,
    pub(crate) account: String,
    pub(crate) execs: Vec<Client>,
}

impl Install {
    /// Starts all of it, without Redis.
    pub(crate) async fn start() -> Self {
        Self::of(None).await
    }

    /// Starts all of it.
    pub(crate) async fn with_queue() -> Self {
        Self::of(Some(RedisServer::start())).await
    }

    async fn of(redis: Option<RedisServer>) -> Self {
        let postgres = PostgresServer::start();
        let database = postgres.fresh_database();
        let folder = tempfile::tempdir().unwrap().keep();
        let keeper = Keeper::start(&folder, "KILL").unwrap();
        let variables: Vec<(String, String)> = [
            ("STORE__URL", database.as_str()),
            ("STORE__MAX_CONNECTIONS", "8"),
            ("DATA_DIR", &folder.join("data").display().to_string()),
            ("EGRESS__ALLOW", "127.0.0.1/32"),
            ("WORKERS__LEASE_S", &LEASE.as_secs().to_string()),
            ("DRAIN_S", "5"),
            ("QUEUE__URL", &redis.as_ref().map_or_else(|| "store".to_owned(), RedisServer::url)),
        ]
        .map(|(name, value)| (format!("ORCHESTRATOR__{name}"), value.to_owned()))
        .into();
        let node = |name, roles| Node::new(name, roles, &folder, &variables);
        let nodes = vec![
            node("api-1", "api,ingress"),
            node("api-2", "api,ingress"),
            node("worker-1", "worker"),
            node("worker-2", "worker"),
        ];
        let install = Self { nodes, postgres, redis, database, keeper, folder };
        // The first one makes the schema and the key; then all others find them.
        install.start_node(0).await;
        for index in 1..install.nodes.len() {
            install.start_node(index).await;
        }
        install
    }

    /// Starts a node, which ends with the test at the latest.
    pub(crate) async fn start_node(&self, index: usize) {
        self.nodes[index].start().await;
        self.keep();
    }

    /// Tells the keeper who runs.
    pub(crate) fn keep(&self) {
        let ids: Vec<u32> = self.nodes.iter().filter_map(Node::id).collect();
        self.keeper.keep(&ids).unwrap();
    }

    /// The folder that all nodes share; it is gone after the test.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this kind of fault can strike it.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.redis.is_some() || !kind.is_of_the_queue()
    }

    pub(crate) fn apis(&self) -> &[Node] {
        &self.nodes[..2]
    }

    /// A client that may do everything, at an API node.
    pub(crate) fn admin(&self, api: usize) -> Client {
        let mint = ["token", "mint", "--sub", "chaos", "--ttl", "3600"];
        let admin = ["--aud", scope::AUDIENCE_CONTROL, "--scope", scope::ADMIN];
        let output = self.nodes[api].command().args(mint).args(admin).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let token = String::from_utf8(output.stdout).unwrap();
        Client::builder(&self.nodes[api].url()).token(token.trim()).build().unwrap()
    }

    /// Makes the workspaces.
    pub(crate) async fn onboard(&self, world: &World, names: &[&str]) -> Vec<Tenant> {
        let (mut tenants, admin) = (Vec::new(), self.admin(0));
        for name in names {
            tenants.push(self.tenant(&admin, world, name).await);
        }
        tenants
    }

    async fn tenant(&self, admin: &Client, world: &World, name: &str) -> Tenant {
        let account = format!("acct_{name}");
        let bundle: Bundle = serde_json::from_value(json!({
            "format": 1, "workspace": name,
            "config": {
                "policies": {"default": {
                    "timeout": {"attempt_ms": 2000, "total_ms": 3000},
                    "job_retry": {"max_attempts": 100, "initial_ms": 20, "max_ms": 500},
                }},
                "connectors": {"up": {"kind": "http", "settings": {"base_url": format!("{}/up", world.url())}}},
                "secret_refs": {
                    "cb": {"source": "stored", "name": "cb"}, "whsec": {"source": "stored", "name": "whsec"},
                },
                "callbacks": {"product": {"url": format!("{}/callback", world.url()), "signing_secret": "cb"}},
                "webhook_routes": {"stripe": {"provider": "stripe", "account": account, "signing_secret": "whsec",
                    "callback": "product"}},
            },
        }))
        .unwrap();
        let id = name.parse().unwrap();
        let workspace = admin.workspace(&id);
        workspace.import_bundle(&bundle, false).await.unwrap();
        for (name, value) in [("cb", CALLBACK_SECRET), ("whsec", STRIPE_SECRET)] {
            workspace.put_secret(&name.parse().unwrap(), &SecretRequest { value: value.to_owned() }).await.unwrap();
        }
        let request = IdentityRequest {
            name: "svc:chaos".parse().unwrap(),
            scopes: scope::EXEC.iter().map(ToString::to_string).collect(),
            public_key: None,
        };
        let identity = workspace.create_identity(&request).await.unwrap();
        let secret = identity.client_secret.unwrap();
        let exec = |node: &Node| {
            let client = Client::builder(&node.url()).retry(Retry::never()).timeout(Duration::from_secs(10));
            client.client_credentials(identity.client_id.clone(), secret.clone()).build().unwrap()
        };
        Tenant { workspace: name.to_owned(), account, execs: self.apis().iter().map(exec).collect() }
    }
}
