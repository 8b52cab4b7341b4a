//! What fails, for how long, and how it comes back.

use std::fmt;
use std::time::Duration;

use orchestrator_conformance::servers::Stop;
use tokio::time::sleep;

use crate::install::{Install, LEASE};
use crate::product::{Mood, World};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    KillApi,
    KillWorker,
    KillWorkers,
    RollNode,
    PauseWorker,
    PauseApi,
    RestartDatabase,
    CrashDatabase,
    StopDatabase,
    PauseDatabase,
    CutConnections,
    RestartQueue,
    FlushQueue,
    StopQueue,
    PauseQueue,
    SlowProduct,
    HangingProduct,
    FailingProduct,
}

/// Every kind.
pub(crate) const KINDS: [Kind; 18] = [
    Kind::KillApi,
    Kind::KillWorker,
    Kind::KillWorkers,
    Kind::RollNode,
    Kind::PauseWorker,
    Kind::PauseApi,
    Kind::RestartDatabase,
    Kind::CrashDatabase,
    Kind::StopDatabase,
    Kind::PauseDatabase,
    Kind::CutConnections,
    Kind::RestartQueue,
    Kind::FlushQueue,
    Kind::StopQueue,
    Kind::PauseQueue,
    Kind::SlowProduct,
    Kind::HangingProduct,
    Kind::FailingProduct,
];

impl Kind {
    /// Whether it needs Redis.
    pub(crate) const fn is_of_the_queue(self) -> bool {
        matches!(self, Self::RestartQueue | Self::FlushQueue | Self::StopQueue | Self::PauseQueue)
    }

    const fn shown(self) -> &'static str {
        match self {
            Self::KillApi => "kill -9 of an API node",
            Self::KillWorker => "kill -9 of a worker",
            Self::KillWorkers => "kill -9 of all workers",
            Self::RollNode => "SIGTERM of a node, and another start",
            Self::PauseWorker => "worker stopped past its lease",
            Self::PauseApi => "API node stopped",
            Self::RestartDatabase => "PostgreSQL restarted (fast)",
            Self::CrashDatabase => "PostgreSQL restarted (immediate)",
            Self::StopDatabase => "PostgreSQL away",
            Self::PauseDatabase => "PostgreSQL hanging",
            Self::CutConnections => "connections terminated",
            Self::RestartQueue => "Redis restarted",
            Self::FlushQueue => "Redis flushed",
            Self::StopQueue => "Redis away",
            Self::PauseQueue => "Redis hanging",
            Self::SlowProduct => "product slow",
            Self::HangingProduct => "product hanging",
            Self::FailingProduct => "product failing",
        }
    }
}

/// One fault, as the seed has drawn it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Which of several.
    which: usize,
    /// For how long.
    lasting: Duration,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.shown())
    }
}

impl Fault {
    pub(crate) fn drawn(kind: Kind, random: &mut fastrand::Rng) -> Self {
        let (least, most) = match kind {
            Kind::PauseWorker => (LEASE.as_millis() + 2_000, LEASE.as_millis() + 4_000),
            Kind::StopQueue | Kind::PauseQueue => (1_500, 3_000),
            Kind::StopDatabase | Kind::PauseDatabase | Kind::PauseApi => (500, 2_000),
            Kind::SlowProduct | Kind::HangingProduct | Kind::FailingProduct => (1_000, 2_500),
            _ => (50, 500),
        };
        let lasting = Duration::from_millis(random.u64(least as u64..=most as u64));
        Self { kind, which: random.usize(..), lasting }
    }

    /// Lets it happen, and undoes it.
    pub(crate) async fn strike(self, install: &Install, world: &World) {
        let (api, worker) = (self.which % 2, 2 + self.which % 2);
        match self.kind {
            Kind::KillApi => self.kill(install, &[api]).await,
            Kind::KillWorker => self.kill(install, &[worker]).await,
            Kind::KillWorkers => self.kill(install, &[2, 3]).await,
            Kind::RollNode => {
                let index = self.which % install.nodes.len();
                install.nodes[index].terminate().await;
                install.start_node(index).await;
            }
            Kind::PauseWorker => self.pause(install, worker).await,
            Kind::PauseApi => self.pause(install, api).await,
            Kind::RestartDatabase => {
                install.postgres.stop(Stop::Fast);
                install.postgres.start_again();
            }
            Kind::CrashDatabase => {
                install.postgres.stop(Stop::Immediate);
                install.postgres.start_again();
            }
            Kind::StopDatabase => {
                install.postgres.stop(Stop::Fast);
                sleep(self.lasting).await;
                install.postgres.start_again();
            }
            Kind::PauseDatabase => {
                install.postgres.pause();
                sleep(self.lasting).await;
                install.postgres.resume();
            }
            Kind::CutConnections => install.postgres.terminate_connections(),
            Kind::RestartQueue | Kind::FlushQueue | Kind::StopQueue | Kind::PauseQueue => self.queue(install).await,
            Kind::SlowProduct => self.mood(world, Mood::Slow(Duration::from_millis(300))).await,
            Kind::HangingProduct => self.mood(world, Mood::Hanging).await,
            Kind::FailingProduct => self.mood(world, Mood::Failing).await,
        }
    }

    async fn kill(self, install: &Install, nodes: &[usize]) {
        for index in nodes {
            install.nodes[*index].kill();
        }
        install.keep();
        sleep(self.lasting).await;
        for index in nodes {
            install.start_node(*index).await;
        }
    }

    async fn pause(self, install: &Install, node: usize) {
        install.nodes[node].pause();
        sleep(self.lasting).await;
        install.nodes[node].resume();
    }

    async fn queue(self, install: &Install) {
        let Some(redis) = &install.redis else { return };
        match self.kind {
            Kind::FlushQueue => redis.flush(),
            Kind::PauseQueue => {
                redis.pause();
                sleep(self.lasting).await;
                redis.resume();
            }
            kind => {
                redis.stop(Stop::Fast);
                if kind == Kind::StopQueue {
                    sleep(self.lasting).await;
                }
                redis.start_again();
            }
        }
    }

    async fn mood(self, world: &World, mood: Mood) {
        world.set(mood);
        sleep(self.lasting).await;
        world.set(Mood::Well);
    }
}
