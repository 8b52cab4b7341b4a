//! The database is away, and what clients and probes are told meanwhile.

use std::time::Duration;

use orchestrator_client::{Client, Error};
use orchestrator_conformance::servers::Stop;
use orchestrator_types::{JobRequest, JobStatus};
use serde_json::json;
use tokio::time::Instant;

use crate::install::Install;
use crate::oracle::idle;
use crate::product::World;

fn job() -> JobRequest {
    serde_json::from_value(json!({
        "connector": "up", "operation": "request", "input": {"method": "GET", "path": "/x"}, "callback": "product",
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_06_while_the_database_is_away_callers_hear_503_and_all_goes_on_when_it_is_back() {
    let (world, install) = (World::start().await, Install::start().await);
    let tenants = install.onboard(&world, &["away-dev"]).await;
    let exec = &tenants[0].execs[0];
    let first = exec.submit(&job()).await.unwrap();
    exec.wait_for_job(first.id, Duration::from_secs(30)).await.unwrap();
    for stop in [Stop::Fast, Stop::Immediate] {
        install.postgres.stop(stop);
        let refused = exec.submit(&job()).await.unwrap_err();
        let Error::Problem(problem) = &refused else { panic!("{refused:?}") };
        assert_eq!((problem.problem.status, problem.retry_after.is_some()), (503, true), "{problem:?}");
        // Invariant 46: a node without its store takes no work, and says so.
        install.nodes[0].until(false).await;
        install.postgres.start_again();
        goes_on(exec).await;
        install.nodes[0].until(true).await;
    }
    install.postgres.terminate_connections();
    goes_on(exec).await;
    idle(&install);
}

/// Within five seconds everything works again: a job is accepted, runs, and is told of. Until then callers hear 503.
async fn goes_on(exec: &Client) {
    let back = Instant::now();
    let refused = |error: Error| {
        let told = matches!(&error, Error::Problem(answer) if answer.problem.status == 503);
        assert!(told && back.elapsed() < Duration::from_secs(5), "it is back for {:?}: {error:?}", back.elapsed());
    };
    let accepted = loop {
        match exec.submit(&job()).await {
            Ok(accepted) => break accepted,
            Err(error) => refused(error),
        }
    };
    loop {
        match exec.wait_for_job(accepted.id, Duration::from_secs(30)).await {
            Ok(job) => return assert_eq!(job.status, JobStatus::Succeeded, "{job:?}"),
            Err(error) => refused(error),
        }
    }
}
