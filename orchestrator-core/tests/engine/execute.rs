//! Synchronous calls: every way in which one ends, and the record that explains it.

use std::time::Duration;

use orchestrator_core::Error;
use orchestrator_core::execute::{Call, CallFailure, Executed};
use orchestrator_core::types::{AttemptOutcome, EventType, ExecutionView, IdempotencyKey, RequestKind};
use serde_json::json;
use tokio::time::Instant;

use crate::fixture::{World, call, config, name, workspace};

fn failure(executed: Executed) -> CallFailure {
    executed.result.unwrap_err()
}

async fn record(world: &World, executed: &Executed) -> ExecutionView {
    let id = match &executed.result {
        Ok(done) => done.id,
        Err(failed) => failed.id,
    };
    world.engine.executions().get(&world.shop, id).await.unwrap()
}

fn decisions(view: &ExecutionView) -> Vec<(&str, &str)> {
    view.decisions.iter().map(|decision| (decision.policy.as_str(), decision.decision.as_str())).collect()
}

async fn with_policy(policy: serde_json::Value) -> World {
    World::with(None, config("shop-dev", json!({"policies": {"default": policy}}))).await
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_answers_and_is_recorded() {
    let world = World::idle().await;
    let mut wanted = call("write", &["slow:40"]);
    wanted.input["n"] = json!(7);
    let trace = wanted.trace_id;
    let executed = world.engine.execute(&world.shop, wanted).await.unwrap();
    let view = record(&world, &executed).await;
    let done = executed.result.unwrap();
    assert_eq!((done.status.as_str(), &done.output["n"], done.attempts), ("succeeded", &json!(7), 1));
    assert_eq!((done.trace_id, executed.replayed), (trace, false));
    assert!((40..45).contains(&done.duration_ms), "{}", done.duration_ms);
    assert_eq!((view.id, view.status.as_str(), view.attempts, view.config_version), (done.id, "succeeded", 1, 1));
    assert_eq!((view.trace_id, view.connector.as_str(), view.operation.as_str()), (trace, "crm", "write"));
    let [attempt] = &view.attempts_log[..] else { panic!("{view:?}") };
    assert_eq!((attempt.number, attempt.wait_ms, &attempt.wait_reason), (1, 0, &None));
    assert_eq!((attempt.outcome, attempt.status), (AttemptOutcome::Succeeded, Some(200)));
    let told = world.events(&[EventType::ExecutionSucceeded]).await;
    assert_eq!((told.len(), &told[0].subject, told[0].trace_id), (1, &done.id.to_string(), trace));
    let log = world.engine.executions().requests(&world.shop, None, None, 10).await.unwrap();
    assert_eq!((log.items.len(), log.items[0].kind, log.next_cursor), (1, RequestKind::Execute, None));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_retried_and_the_record_says_why_it_waited() {
    let world = World::idle().await;
    let executed = world.call("read", &["hang", "later:1", "ok"]).await;
    let view = record(&world, &executed).await;
    assert_eq!(executed.result.unwrap().attempts, 3);
    let log: Vec<_> = view
        .attempts_log
        .iter()
        .map(|at| (at.number, at.outcome, at.status, at.wait_ms, at.wait_reason.as_deref()))
        .collect();
    assert_eq!(
        log,
        [
            (1, AttemptOutcome::Timeout, None, 0, None),
            (2, AttemptOutcome::Failed, Some(503), 100, Some("backoff")),
            (3, AttemptOutcome::Succeeded, Some(200), 1_000, Some("retry_after")),
        ]
    );
    let starts: Vec<_> = view.attempts_log.iter().map(|at| at.start_ms).collect();
    assert_eq!(starts, [0, 1_100, 2_100]);
    assert_eq!(view.attempts_log[0].duration_ms, 1_000);
    assert_eq!(decisions(&view), [("timeout", "exceeded"), ("retry", "retried"), ("retry", "retried")]);
    assert_eq!(world.script().dropped(), 1, "the attempt that hung was given up");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_clamped_to_the_longest_wait() {
    let world = World::idle().await;
    let executed = world.call("read", &["later:3600", "ok"]).await;
    assert_eq!(record(&world, &executed).await.attempts_log[1].wait_ms, 2_000);
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_code_status_and_attempts() {
    let world = World::idle().await;
    type Case = (&'static str, &'static [&'static str], &'static str, u16, u32, Option<u16>);
    let cases: [Case; 8] = [
        ("write", &["422"], "upstream_rejected", 502, 1, Some(422)),
        ("read", &["404"], "upstream_rejected", 502, 1, Some(404)),
        ("read", &["500"], "upstream_failed", 502, 3, Some(500)),
        ("write", &["500"], "upstream_failed", 502, 1, Some(500)),
        ("write", &["unreachable"], "upstream_unreachable", 502, 3, None),
        ("write", &["hang"], "timeout", 504, 1, None),
        ("read", &["hang"], "timeout", 504, 3, None),
        ("read", &["forbidden"], "destination_forbidden", 403, 1, None),
    ];
    for (operation, steps, code, status, attempts, upstream) in cases {
        let executed = world.call(operation, steps).await;
        let view = record(&world, &executed).await;
        let failed = failure(executed);
        assert_eq!((failed.error.code.as_str(), failed.status(), failed.attempts), (code, status, attempts));
        assert_eq!(failed.error.upstream.map(|answer| answer.status), upstream, "{code}");
        assert_eq!(
            (view.status.as_str(), view.attempts, view.error.unwrap().code.as_str()),
            ("failed", attempts, code)
        );
        let error = Error::Call(Box::new(failure(world.call(operation, steps).await)));
        assert_eq!((error.code(), error.status()), (code, status));
        world.engine.events().page(&world.shop, None, &Default::default(), 1, Duration::ZERO).await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    let told = world.events(&[EventType::ExecutionFailed]).await;
    assert_eq!(told.len(), 16);
    assert_eq!(told[0].data["code"], "upstream_rejected");
}

#[tokio::test(start_paused = true)]
async fn inv_18_a_call_ends_by_its_total_deadline() {
    let world = with_policy(json!({"timeout": {"attempt_ms": 1_000, "total_ms": 2_500}})).await;
    let started = Instant::now();
    let executed = world.call("read", &["hang"]).await;
    assert_eq!(started.elapsed(), Duration::from_millis(2_500));
    let view = record(&world, &executed).await;
    assert_eq!(failure(executed).error.code, "timeout");
    assert_eq!(view.attempts_log.len(), 3);
    assert_eq!(view.attempts_log[2].outcome, AttemptOutcome::Timeout);
    assert_eq!(decisions(&view).last(), Some(&("deadline", "exceeded")));
    assert_eq!(world.script().dropped(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_callers_timeout_only_shortens() {
    let world = World::idle().await;
    for (asked, took) in [(250, 250), (3_600_000, 3_300)] {
        let started = Instant::now();
        let wanted = Call { timeout: Some(Duration::from_millis(asked)), ..call("read", &["hang"]) };
        let failed = failure(world.engine.execute(&world.shop, wanted).await.unwrap());
        assert_eq!((failed.error.code.as_str(), started.elapsed()), ("timeout", Duration::from_millis(took)));
    }
    let wanted = Call { timeout: Some(Duration::ZERO), ..call("read", &["ok"]) };
    let refused = world.engine.execute(&world.shop, wanted).await.unwrap_err();
    assert_eq!((refused.code(), refused.field_errors()[0].pointer.as_str()), ("invalid_request", "/timeout_ms"));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_call_is_told_before_anything_is_sent() {
    let world = World::idle().await;
    let refused = |wanted: Call| async { world.engine.execute(&world.shop, wanted).await.unwrap_err() };
    let error = refused(Call { connector: name("erp"), ..call("read", &[]) }).await;
    assert_eq!((error.code(), error.status()), ("connector_not_found", 404));
    let error = refused(call("delete", &[])).await;
    assert_eq!((error.code(), error.status()), ("operation_not_found", 404));
    let error = refused(Call { input: json!({"wrong": ["/path", "/json/a"]}), ..call("read", &[]) }).await;
    assert_eq!((error.code(), error.status()), ("invalid_input", 400));
    let pointers: Vec<_> = error.field_errors().iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/input/path", "/input/json/a"]);
    let error = world.engine.execute(&workspace("none-dev"), call("read", &[])).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("workspace_not_found", 404));
    assert_eq!(world.script().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_refuses_and_says_when_to_come_back() {
    let world = with_policy(json!({"rate_limit": {"per_second": 0.5, "burst": 2}})).await;
    let first = world.call("read", &["ok"]).await;
    assert_eq!(first.rate_limit.unwrap().remaining, 1);
    world.call("read", &["ok"]).await;
    let executed = world.call("read", &["ok"]).await;
    let view = record(&world, &executed).await;
    let failed = failure(executed);
    assert_eq!((failed.error.code.as_str(), failed.status(), failed.attempts), ("rate_limited", 429, 0));
    assert_eq!(failed.retry_after(), Some(Duration::from_secs(2)));
    assert_eq!(failed.rate_limit.unwrap().remaining, 0);
    assert_eq!((view.attempts_log.len(), decisions(&view)), (0, vec![("rate_limit", "rejected")]));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(world.call("read", &["ok"]).await.result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_that_waits_delays_up_to_the_deadline() {
    let world = with_policy(json!({
        "timeout": {"attempt_ms": 1_000, "total_ms": 3_000},
        "rate_limit": {"per_second": 1.0, "burst": 1, "on_limit": "wait"},
    }))
    .await;
    let started = Instant::now();
    let calls = (0..3).map(|_| world.call("read", &["ok"]));
    assert!(futures_util::future::join_all(calls).await.iter().all(|call| call.result.is_ok()));
    assert_eq!(started.elapsed().as_secs(), 2);
    let calls = futures_util::future::join_all((0..5).map(|_| world.call("read", &["ok"]))).await;
    let refused: Vec<_> = calls.into_iter().filter_map(|call| call.result.err()).collect();
    assert!(!refused.is_empty() && refused.iter().all(|failed| failed.error.code == "rate_limited"), "{refused:?}");
    assert_eq!(world.script().count(), 8 - refused.len());
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_queues_and_then_refuses() {
    let world = with_policy(json!({"concurrency": {"max": 1, "queue": 1}})).await;
    let mut calls = Vec::new();
    for begun in [1, 1] {
        let (engine, shop) = (world.engine.clone(), world.shop.clone());
        calls.push(tokio::spawn(async move { engine.execute(&shop, call("read", &["gate"])).await.unwrap() }));
        world.script().reached(begun).await;
        tokio::task::yield_now().await;
    }
    let failed = failure(world.call("read", &["gate"]).await);
    assert_eq!((failed.error.code.as_str(), failed.status(), failed.attempts), ("concurrency_limited", 429, 0));
    assert!(failed.retry_after().is_some());
    world.script().open(2);
    let mut waited = 0;
    for call in calls {
        let executed = call.await.unwrap();
        assert!(executed.result.is_ok());
        waited += usize::from(decisions(&record(&world, &executed).await).contains(&("concurrency", "waited")));
    }
    assert_eq!((world.script().most("shop-dev"), waited), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn inv_20_the_breaker_opens_half_opens_and_closes_and_tells() {
    let world = with_policy(json!({
        "retry": {"max_attempts": 1},
        "breaker": {"window_s": 30, "min_calls": 4, "failure_ratio": 0.5, "open_s": 15, "half_open_calls": 2},
    }))
    .await;
    for _ in 0..4 {
        assert_eq!(failure(world.call("read", &["500"]).await).error.code, "upstream_failed");
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    let executed = world.call("read", &["ok"]).await;
    let view = record(&world, &executed).await;
    let failed = failure(executed);
    assert_eq!((failed.error.code.as_str(), failed.status(), failed.attempts), ("breaker_open", 503, 0));
    assert_eq!(failed.retry_after(), Some(Duration::from_secs(10)));
    assert_eq!(view.attempts_log[0].outcome, AttemptOutcome::BreakerOpen);
    assert_eq!(decisions(&view)[0], ("breaker", "rejected"));
    assert_eq!(world.script().count(), 4, "nothing was sent");
    tokio::time::advance(Duration::from_secs(10)).await;
    for _ in 0..2 {
        assert!(world.call("read", &["ok"]).await.result.is_ok());
    }
    let kinds = [EventType::BreakerOpened, EventType::BreakerHalfOpened, EventType::BreakerClosed];
    let told = world.events(&kinds).await;
    assert_eq!(told.iter().map(|event| event.kind).collect::<Vec<_>>(), kinds);
    assert_eq!((told[0].subject.as_str(), &told[0].data["failures"]), ("crm", &json!(4)));
}

#[tokio::test(start_paused = true)]
async fn inv_22_a_call_whose_caller_goes_away_is_finished_and_recorded() {
    let world = World::idle().await;
    let mut wanted = call("write", &["slow:500"]);
    let key: IdempotencyKey = "k".parse().unwrap();
    wanted.idempotency = Some((key.clone(), [1; 32]));
    let going = world.engine.execute(&world.shop, wanted.clone());
    assert!(tokio::time::timeout(Duration::from_millis(100), going).await.is_err());
    let told = world.event(EventType::ExecutionSucceeded, 1).await;
    let id = told[0].subject.parse().unwrap();
    assert_eq!(world.engine.executions().get(&world.shop, id).await.unwrap().status, "succeeded");
    assert_eq!(world.script().dropped(), 0);
    let again = world.engine.execute(&world.shop, wanted).await.unwrap();
    assert!(again.replayed && again.result.unwrap().id == id);
    assert_eq!(world.script().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_22_shutting_down_waits_for_calls_that_have_begun() {
    let world = World::idle().await;
    let going = world.engine.execute(&world.shop, call("write", &["slow:500"]));
    assert!(tokio::time::timeout(Duration::from_millis(100), going).await.is_err());
    world.engine.shutdown(Duration::from_secs(5)).await;
    let next = world.install.node().await;
    let told = crate::fixture::events(&next, &world.shop, &[EventType::ExecutionSucceeded]).await;
    assert_eq!(told.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_fails_its_attempt_and_nothing_else() {
    let world = World::idle().await;
    let executed = world.call("read", &["panic", "ok"]).await;
    assert_eq!(executed.result.unwrap().attempts, 2);
    let mut wanted = call("write", &["panic"]);
    wanted.idempotency = Some(("k".parse().unwrap(), [1; 32]));
    let failed = failure(world.engine.execute(&world.shop, wanted.clone()).await.unwrap());
    assert_eq!((failed.error.code.as_str(), failed.attempts), ("upstream_failed", 1));
    assert!(!failed.error.detail.contains("bug"), "{}", failed.error.detail);
    let again = world.engine.execute(&world.shop, wanted).await.unwrap();
    assert!(again.replayed && again.result.unwrap_err().id == failed.id);
}

#[tokio::test(start_paused = true)]
async fn inv_23_an_upstream_that_echoes_our_secret_gets_it_redacted() {
    let world = World::idle().await;
    let output = world.call("read", &["echo"]).await.result.unwrap().output;
    let text = output.to_string();
    assert!(text.contains("redacted") && !text.contains("token-of-the-upstream"), "{text}");
}
