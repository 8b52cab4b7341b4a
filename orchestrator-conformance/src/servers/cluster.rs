//! A private cluster of Redis: three masters, without replicas.

use std::thread;
use std::time::{Duration, Instant};

use super::free_port;
use super::process::Process;
use super::redis::{RedisOptions, RedisServer};

/// How long the nodes have to agree.
const PATIENCE: Duration = Duration::from_secs(30);
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// A cluster that runs; its servers end as [`RedisServer`] does.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three masters, and waits until each knows of all slots. Blocks.
    ///
    /// # Panics
    /// There is no Redis on this machine, or the nodes do not agree.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&RedisOptions::default())
    }

    /// The same, each of them with these options.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(options: &RedisOptions) -> Self {
        let node = || {
            let options = options.clone().setting("cluster-enabled", "yes").setting("cluster-node-timeout", "2000");
            RedisServer::start_with(&options.setting("cluster-port", &free_port().to_string()))
        };
        let cluster = Self { nodes: vec![node(), node(), node()] };
        let mut create = cluster.nodes[0].cli();
        create.args(["--cluster", "create"]);
        create.args(cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())));
        create.arg("--cluster-yes");
        Process::run(&mut create).unwrap_or_else(|why| panic!("the cluster is not made: {why}"));
        let until = Instant::now() + PATIENCE;
        let whole = |node: &RedisServer| {
            let info = node.command(&["cluster", "info"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !cluster.nodes.iter().all(whole) {
            assert!(Instant::now() < until, "the nodes do not agree: {}", cluster.nodes[0].log());
            thread::sleep(ASKED_EVERY);
        }
        cluster
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The URL of each node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }
}
