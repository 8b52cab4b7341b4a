//! Claims beside millions of jobs that have ended.

use std::time::Duration;

use orchestrator_benches::install::Backend;
use orchestrator_benches::options::Options;
use orchestrator_benches::report::Report;
use orchestrator_benches::{AnyError, queue};
use orchestrator_conformance::servers::PostgresServer;

use crate::goals::Goals;

/// As the engine leaves a job that did nothing, so many times over.
const FILL: &str = "set search_path = orchestrator; set synchronous_commit = off; \
    with ids as materialized (select i, (lpad(to_hex(1700000000000 + i), 12, '0') || '7' || substr(md5(i::text), 1, 3) \
      || '8' || substr(md5(i::text), 4, 15))::uuid as id from generate_series(1::bigint, COUNT) i), \
    jobs as (insert into jobs (workspace, id, created_at, kind, connector, operation, priority, max_attempts, metadata, \
      trace, input) select 'bench-dev', id, 1700000000000 + i, 'call', 'nothing', 'do', 5, 8, '{\"order\":\"1001\"}', id, \
      '{\"invoice\":\"in_1001\",\"amount\":4900,\"currency\":\"eur\"}'::bytea from ids) \
    insert into ended (workspace, id, seq, state, run_at, attempt, fence, lost_leases, finished_at, output) \
      select 'bench-dev', id, -i, 'succeeded', 1700000000000 + i, 1, 1, 0, 1700000001000 + i, '{\"done\":true}'::bytea from ids";

pub(crate) async fn measure(
    options: &Options,
    server: &PostgresServer,
    report: &mut Report,
    goals: &mut Goals,
) -> Result<(), AnyError> {
    let jobs = if options.time < Duration::from_secs(1) { 1_000 } else { 30_000 };
    let empty = queue::drain(options, &Backend::Postgres { url: server.fresh_database() }, jobs, 1).await?;
    let url = server.fresh_database();
    let backend = Backend::Postgres { url: url.clone() };
    queue::drain(options, &backend, 100, 1).await?;
    let step = 1_000_000.min(options.finished);
    for number in 0..options.finished / step {
        let fill = FILL.replace("1::bigint, COUNT", &format!("{}::bigint, {}", number * step + 1, (number + 1) * step));
        server.sql(&url, &fill);
    }
    server.sql(&url, "vacuum analyze");
    queue::add(options, &backend, jobs).await?;
    let full = queue::rest(options, &backend, jobs).await?;
    report.take("jobs run, nothing finished before", 1, empty);
    report.take(&format!("jobs run beside {} finished", options.finished), 1, full);
    goals.at_least(
        &format!("jobs run beside {} finished to none", options.finished),
        full.per_second / empty.per_second,
        0.9,
    );
    Ok(())
}
