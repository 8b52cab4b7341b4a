//! Servers, and what is asked of them beside the crate.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use orchestrator_conformance::limiter::LimiterHarness;
use orchestrator_conformance::queue::QueueHarness;
use orchestrator_conformance::servers::redis::shared_url;
use orchestrator_conformance::servers::{Pem, RedisCluster, RedisOptions as ServerOptions, RedisServer};
use orchestrator_core::policy::rate_limit::lease::TokenLeases;
use orchestrator_core::queue::JobQueue;
use orchestrator_queue_redis::{RedisOptions, RedisParts, RedisQueue};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use redis::aio::MultiplexedConnection;
use redis::{Client, IntoConnectionInfo, TlsCertificates, cmd};
use tokio::sync::Mutex;

/// A prefix of keys that no other test has.
pub(crate) fn prefix() -> String {
    format!("test-{:016x}", fastrand::u64(..))
}

/// A part of a Redis of its own: the suites' harness.
pub(crate) struct Corner {
    options: RedisOptions,
    nodes: Vec<String>,
    prefix: String,
    ca: Option<String>,
    parts: Mutex<Vec<RedisParts>>,
}

impl Corner {
    pub(crate) fn at(nodes: Vec<String>) -> Self {
        Self::with(nodes, None)
    }

    fn with(nodes: Vec<String>, ca: Option<String>) -> Self {
        let prefix = prefix();
        let hosts: Vec<_> =
            nodes.iter().map(|url| url.rsplit('@').next().unwrap().rsplit('/').next().unwrap()).collect();
        let (scheme, rest) = nodes[0].split_once("://").unwrap();
        let login = rest.rsplit_once('@').map(|(login, _)| format!("{login}@")).unwrap_or_default();
        let ca_file = ca.as_ref().map(|pem| ca_file(pem)).map(|path| format!("&ca={path}")).unwrap_or_default();
        let url = format!("{scheme}://{login}{}/?prefix={prefix}{ca_file}", hosts.join(","));
        let options = RedisOptions::parse(&url, "dev").unwrap();
        Self { options, nodes, prefix, ca, parts: Mutex::default() }
    }

    /// One server without a password.
    pub(crate) fn single() -> Self {
        Self::at(vec![shared_url()])
    }

    /// One that asks for a password.
    pub(crate) fn guarded() -> Self {
        static SERVER: OnceLock<RedisServer> = OnceLock::new();
        let options = || ServerOptions { password: Some("s3cret".to_owned()), ..ServerOptions::default() };
        Self::at(vec![SERVER.get_or_init(|| RedisServer::start_with(&options())).url()])
    }

    /// One that serves TLS, under an authority of its own.
    pub(crate) fn sealed() -> Self {
        static SERVER: OnceLock<(RedisServer, String)> = OnceLock::new();
        let (server, ca) = SERVER.get_or_init(|| {
            let pem = certificates();
            let ca = pem.authority.clone();
            let options =
                ServerOptions { tls: Some(pem), password: Some("s3cret".to_owned()), ..ServerOptions::default() };
            (RedisServer::start_with(&options), ca)
        });
        Self::with(vec![server.url()], Some(ca.clone()))
    }

    /// A cluster of three.
    pub(crate) fn cluster() -> Self {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        Self::at(CLUSTER.get_or_init(RedisCluster::start).urls())
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A node that ends when it is dropped.
    pub(crate) async fn connect_alone(&self) -> RedisParts {
        RedisQueue::connect(&self.options).await.expect("connect")
    }

    /// A node that ends with this.
    async fn connect(&self) -> RedisParts {
        let parts = self.connect_alone().await;
        self.parts.lock().await.push(parts.clone());
        parts
    }

    /// A plain connection to each node.
    pub(crate) async fn raw(&self) -> Vec<MultiplexedConnection> {
        let mut connections = Vec::new();
        for url in &self.nodes {
            let info = url.as_str().into_connection_info().unwrap();
            let client = match &self.ca {
                Some(ca) => {
                    let root_cert = Some(ca.clone().into_bytes());
                    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }).unwrap()
                }
                None => Client::open(info).unwrap(),
            };
            connections.push(client.get_multiplexed_async_connection().await.unwrap());
        }
        connections
    }

    /// The keys that are there.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for mut node in self.raw().await {
            let found: Vec<String> =
                cmd("KEYS").arg(format!("{}:*", self.prefix)).query_async(&mut node).await.unwrap();
            keys.extend(found);
        }
        keys
    }
}

#[async_trait]
impl QueueHarness for Corner {
    async fn node(&self) -> Arc<dyn JobQueue> {
        self.connect().await.queue
    }

    async fn lose(&self) {
        for mut node in self.raw().await {
            let pattern = format!("{}:*", self.prefix);
            let found: Vec<String> = cmd("KEYS").arg(pattern).query_async(&mut node).await.unwrap();
            for key in found {
                let _: i64 = cmd("UNLINK").arg(key).query_async(&mut node).await.unwrap();
            }
        }
    }
}

#[async_trait]
impl LimiterHarness for Corner {
    async fn node(&self) -> Arc<dyn TokenLeases> {
        self.connect().await.limits
    }
}

/// A certificate for loopback, and who vouches for it.
fn certificates() -> Pem {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "an authority of tests");
    let ca = authority.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(authority, ca_key);
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap().pem();
    Pem { certificate, key: key.serialize_pem(), authority: ca }
}

/// A file with the authority's certificate, for as long as the process lives.
fn ca_file(pem: &str) -> String {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let path = FOLDER.get_or_init(|| tempfile::TempDir::new().unwrap()).path().join(format!("{}.pem", prefix()));
    std::fs::write(&path, pem).unwrap();
    path.display().to_string()
}
