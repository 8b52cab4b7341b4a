//! Calls end by the deadlines of their policy, whatever the upstream does.

use std::time::Duration;

use orchestrator_core::types::{Policy, TimeoutPolicy};
use tokio::time::Instant;

use super::fixture::{call, engine, samples, soon, told};
use super::{ConnectorHarness, Told};

const DEADLINE: Duration = Duration::from_millis(300);
/// What ending a call may take beyond its deadline, on a machine that is busy.
const ENDING: Duration = Duration::from_secs(5);

/// An upstream that hangs: the policy ends the call, says so, and the upstream is rid of it.
pub async fn inv_18_a_call_that_hangs_is_ended_by_its_policy(harness: &impl ConnectorHarness) {
    told(harness, Told::Hang).await;
    let millis = u64::try_from(DEADLINE.as_millis()).expect("a short time");
    let timeout = TimeoutPolicy { attempt_ms: millis, total_ms: millis };
    let (engine, workspace) = engine(harness, Policy { timeout, ..Policy::default() }).await;
    for sample in samples(harness) {
        let began = Instant::now();
        let done = soon("the call ends", engine.execute(&workspace, call(&sample))).await.expect("the call is made");
        assert!(began.elapsed() < DEADLINE + ENDING, "{} took {:?}", sample.operation, began.elapsed());
        let failure = done.result.err().unwrap_or_else(|| panic!("nobody answered {}", sample.operation));
        assert_eq!(failure.error.code, "timeout", "{}: {failure:?}", sample.operation);
    }
    soon("the upstream lost the calls", harness.until_held(0)).await;
    engine.shutdown(Duration::ZERO).await;
}
