//! The request log, and idempotency keys of synchronous calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    Begin, Begun, Enqueued, IdempotencyScope, KeptAnswer, KeyRoute, KnownAnswer, PayloadLinks, RequestEntry, Store,
};
use orchestrator_core::types::{
    AttemptOutcome, AttemptRecord, Decision, ExecutionId, RequestView, Timestamp, WorkspaceId,
};

use super::StoreHarness;
use super::fixture::{
    Steps, at_once, calls, error, event, events, key, newest_first, request, sweep, under_key, workspace,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Caller<'a> {
    store: &'a Arc<dyn Store>,
    workspace: &'a WorkspaceId,
    execution: ExecutionId,
}

impl<'a> Caller<'a> {
    fn new(store: &'a Arc<dyn Store>, workspace: &'a WorkspaceId) -> Self {
        Self { store, workspace, execution: ExecutionId::new() }
    }

    async fn begin_as(&self, text: &str, hash: u8, valid_until: Timestamp, take_over: bool) -> Begun {
        let begin =
            Begin { key: key(text), request_hash: [hash; 32], execution: self.execution, valid_until, take_over };
        self.store.begin(self.workspace, begin).await.expect("begin")
    }

    async fn begin(&self, text: &str, valid_until: Timestamp) -> Begun {
        self.begin_as(text, 1, valid_until, false).await
    }

    async fn end(&self, text: &str, keep: Option<(&'static str, Timestamp)>) {
        let keep =
            keep.map(|(answer, expires_at)| KeptAnswer { answer: Bytes::from_static(answer.as_bytes()), expires_at });
        let idempotency = Some(IdempotencyScope { key: key(text), execution: self.execution, keep });
        let entry = RequestEntry {
            workspace: self.workspace.clone(),
            record: None,
            events: Vec::new(),
            idempotency,
            payloads: PayloadLinks::default(),
        };
        self.store.log(vec![Arc::new(entry)]).await.expect("log");
    }
}

fn made(workspace: &WorkspaceId, record: RequestView) -> RequestEntry {
    RequestEntry {
        workspace: workspace.clone(),
        record: Some(record),
        events: Vec::new(),
        idempotency: None,
        payloads: PayloadLinks::default(),
    }
}

/// The first with a key is to make the call; while it does the others are told who.
pub async fn inv_08_the_first_makes_the_call(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    assert_eq!(first.begin("k", until).await, Begun::Fresh);
    assert_eq!(second.begin("k", until).await, Begun::Running(first.execution));
    assert_eq!(second.begin("other", until).await, Begun::Fresh);
}

/// When it has ended, all get its answer, until its time is over.
pub async fn inv_08_an_answer_is_kept_for_its_time(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let now = harness.clock().now();
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    first.begin("k", now.after(MINUTE)).await;
    first.end("k", Some(("42", now.after(DAY)))).await;
    harness.clock().advance(DAY - MINUTE);
    let later = harness.clock().now().after(MINUTE);
    assert_eq!(second.begin("k", later).await, Begun::Done(Bytes::from_static(b"42")));
    assert_eq!(second.begin_as("k", 1, later, true).await, Begun::Done(Bytes::from_static(b"42")));
    harness.clock().advance(MINUTE * 2);
    assert_eq!(second.begin_as("k", 2, later.after(DAY), false).await, Begun::Fresh);
}

/// What is kept can be read, of the route and workspace that it is of: nothing while the call is being made, nothing after its
/// time, and reading begins nothing.
pub async fn inv_08_a_kept_answer_is_read_without_beginning(harness: &impl StoreHarness) {
    let (store, workspace, other) = (harness.store().await, workspace("shop-dev"), workspace("mall-dev"));
    let now = harness.clock().now();
    let kept = async |workspace: &WorkspaceId, route, text: &str| {
        store.kept(workspace, route, &key(text)).await.expect("kept")
    };
    assert_eq!(kept(&workspace, KeyRoute::Execute, "k").await, None);
    let caller = Caller::new(&store, &workspace);
    assert_eq!(caller.begin("k", now.after(MINUTE)).await, Begun::Fresh, "reading began nothing");
    assert_eq!(kept(&workspace, KeyRoute::Execute, "k").await, None, "it is being made");
    caller.end("k", Some(("42", now.after(DAY)))).await;
    let known = |hash, answer: &'static str| {
        Some(KnownAnswer { request_hash: [hash; 32], answer: Bytes::from_static(answer.as_bytes()) })
    };
    assert_eq!(kept(&workspace, KeyRoute::Execute, "k").await, known(1, "42"));
    assert_eq!(kept(&workspace, KeyRoute::Jobs, "k").await, None);
    assert_eq!(kept(&other, KeyRoute::Execute, "k").await, None);
    store.enqueue(&workspace, under_key(calls(1), "j", 7, now.after(DAY))).await.expect("enqueue");
    assert_eq!(kept(&workspace, KeyRoute::Jobs, "j").await, known(7, "the answer for j"));
    assert_eq!(kept(&workspace, KeyRoute::Execute, "j").await, None);
    assert_eq!(kept(&other, KeyRoute::Jobs, "j").await, None);
    harness.clock().advance(DAY + MINUTE);
    assert_eq!(kept(&workspace, KeyRoute::Execute, "k").await, None);
    assert_eq!(kept(&workspace, KeyRoute::Jobs, "j").await, None);
}

/// Another request under the same key is refused, while it runs and when it is done.
pub async fn inv_08_another_request_under_a_key_is_refused(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let now = harness.clock().now();
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    first.begin("k", now.after(MINUTE)).await;
    assert_eq!(second.begin_as("k", 2, now.after(MINUTE), true).await, Begun::Mismatch);
    first.end("k", Some(("42", now.after(DAY)))).await;
    assert_eq!(second.begin_as("k", 2, now.after(MINUTE), true).await, Begun::Mismatch);
}

/// A key is forgotten if no attempt began: the next one is the first again.
pub async fn inv_08_a_key_is_forgotten_if_no_attempt_began(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    first.begin("k", until).await;
    first.end("k", None).await;
    assert_eq!(second.begin_as("k", 2, until, false).await, Begun::Fresh);
    first.end("k", None).await;
    assert_eq!(first.begin_as("k", 2, until, false).await, Begun::Running(second.execution), "it was not its key");
}

/// If its process died, the outcome is unknown; it is not run again by itself.
pub async fn inv_32_a_call_whose_process_died_is_unknown(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    first.begin("k", until).await;
    harness.clock().advance(MINUTE - Duration::from_secs(1));
    assert_eq!(second.begin_as("k", 1, until.after(MINUTE), true).await, Begun::Running(first.execution));
    harness.clock().advance(Duration::from_secs(2));
    for _ in 0..2 {
        assert_eq!(second.begin("k", until.after(MINUTE)).await, Begun::Unknown(first.execution));
    }
}

/// Where repeating is harmless it is taken over: by one, and the first one's late answer changes nothing.
pub async fn inv_32_an_unknown_call_may_be_taken_over(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let [first, second, third] = std::array::from_fn(|_| Caller::new(&store, &workspace));
    first.begin("k", until).await;
    harness.clock().advance(MINUTE * 2);
    let (later, kept) = (harness.clock().now().after(MINUTE), harness.clock().now().after(DAY));
    assert_eq!(second.begin_as("k", 1, later, true).await, Begun::Fresh);
    assert_eq!(third.begin_as("k", 1, later, true).await, Begun::Running(second.execution));
    first.end("k", Some(("late", kept))).await;
    assert_eq!(third.begin("k", later).await, Begun::Running(second.execution));
    first.end("k", None).await;
    assert_eq!(third.begin("k", later).await, Begun::Running(second.execution));
    second.end("k", Some(("42", kept))).await;
    first.end("k", Some(("late", kept))).await;
    assert_eq!(third.begin("k", later).await, Begun::Done(Bytes::from_static(b"42")));
}

/// A late answer to an unknown call that nobody took over is kept.
pub async fn a_late_answer_is_kept_if_nobody_took_over(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    first.begin("k", until).await;
    harness.clock().advance(MINUTE * 2);
    first.end("k", Some(("42", harness.clock().now().after(DAY)))).await;
    assert_eq!(second.begin("k", until).await, Begun::Done(Bytes::from_static(b"42")));
}

/// Who repeats its own beginning because the answer was lost is not told that somebody else is at it.
pub async fn inv_32_a_repeated_begin_is_not_a_stranger(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let first = Caller::new(&store, &workspace);
    first.begin("k", until).await;
    let again = first.begin("k", until).await;
    assert!(again == Begun::Fresh || again == Begun::Running(first.execution), "{again:?}");
}

/// Of a hundred at once one makes the call.
pub async fn inv_08_of_a_hundred_at_once_one_makes_the_call(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let callers = (0..100).map(|_| {
        let (store, workspace) = (store.clone(), workspace.clone());
        async move {
            let caller = Caller::new(&store, &workspace);
            (caller.execution, caller.begin("k", until).await)
        }
    });
    let answers = at_once(callers).await;
    let fresh: Vec<_> = answers.iter().filter(|(_, begun)| *begun == Begun::Fresh).map(|(id, _)| *id).collect();
    assert_eq!(fresh.len(), 1);
    let others = answers.iter().filter(|(_, begun)| *begun == Begun::Running(fresh[0])).count();
    assert_eq!(others, 99);
}

/// A key of `/execute` is not one of `/jobs`, and not one of another workspace.
pub async fn inv_13_a_key_is_of_its_scope(harness: &impl StoreHarness) {
    let (store, one) = (harness.store().await, workspace("one-dev"));
    let until = harness.clock().now().after(MINUTE);
    let first = Caller::new(&store, &one);
    first.begin("k", until).await;
    let jobs = store.enqueue(&one, under_key(calls(1), "k", 2, until)).await.expect("enqueue");
    assert_eq!(jobs, Enqueued::Accepted);
    let two = workspace("two-dev");
    assert_eq!(Caller::new(&store, &two).begin_as("k", 2, until, false).await, Begun::Fresh);
    first.end("k", None).await;
    let again = store.enqueue(&one, under_key(calls(1), "k", 3, until)).await.expect("enqueue");
    assert_eq!(again, Enqueued::Mismatch);
}

/// A record is read back as it was logged, with its events, and its answer is kept: all of it at once.
pub async fn a_record_is_logged_with_its_events_and_its_answer(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let now = harness.clock().now();
    let caller = Caller::new(&store, &workspace);
    caller.begin("k", now.after(MINUTE)).await;
    let attempt = AttemptRecord {
        number: 1,
        start_ms: 3,
        wait_ms: 0,
        wait_reason: Some("retry_after".to_owned()),
        outcome: AttemptOutcome::Timeout,
        status: Some(504),
        duration_ms: 99,
    };
    let decision = Decision {
        policy: "retry".to_owned(),
        decision: "gave_up".to_owned(),
        at_ms: 100,
        wait_ms: Some(1),
        detail: Some("\u{0}é".to_owned()),
    };
    let record = RequestView {
        status: "failed".to_owned(),
        error: Some(error("timeout")),
        attempts_log: vec![attempt],
        decisions: vec![decision],
        ..request(&caller.execution.to_string(), now)
    };
    let keep = Some(KeptAnswer { answer: Bytes::from_static(b"\x00\xff"), expires_at: now.after(DAY) });
    let entry = RequestEntry {
        events: vec![event("a"), event("b")],
        idempotency: Some(IdempotencyScope { key: key("k"), execution: caller.execution, keep }),
        ..made(&workspace, record.clone())
    };
    store.log(vec![Arc::new(entry)]).await.expect("log");
    let subject = caller.execution.to_string();
    assert_eq!(store.request_about(&workspace, &subject).await.expect("about"), Some(record.clone()));
    assert_eq!(store.requests(&workspace, None, None, 10).await.expect("requests"), [record]);
    assert_eq!(events(&store, &workspace).await.len(), 2);
    assert_eq!(caller.begin("k", now.after(MINUTE)).await, Begun::Done(Bytes::from_static(b"\x00\xff")));
}

/// A log that is repeated because its answer was lost writes nothing more.
pub async fn inv_32_a_repeated_log_writes_nothing_more(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let record = request("exe_1", harness.clock().now());
    let entry = RequestEntry { events: vec![event("a")], ..made(&workspace, record.clone()) };
    for _ in 0..2 {
        store.log(vec![Arc::new(entry.clone())]).await.expect("log");
    }
    assert_eq!(store.requests(&workspace, None, None, 10).await.expect("requests"), [record]);
    assert_eq!(events(&store, &workspace).await.len(), 1);
}

/// A batch holds calls of many workspaces; each has its own.
pub async fn inv_13_a_batch_holds_calls_of_many_workspaces(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    let now = harness.clock().now();
    let (a, b, c) = (request("same", now), request("same", now), request("same", now));
    store
        .log([made(&two, a.clone()), made(&one, b.clone()), made(&two, c.clone())].map(Arc::new).into())
        .await
        .expect("log");
    assert_eq!(store.requests(&one, None, None, 10).await.expect("requests"), std::slice::from_ref(&b));
    assert_eq!(store.requests(&two, Some("same"), None, 10).await.expect("requests"), [c, a]);
    assert_eq!(store.request_about(&one, "same").await.expect("about"), Some(b));
}

/// The list is newest first, of all or about one, and pages by id.
pub async fn the_list_is_paged_newest_first(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let (mut all, mut about) = (Vec::new(), Vec::new());
    for number in 0..7 {
        let subject = if number % 2 == 0 { "even" } else { "odd" };
        let record = request(subject, harness.clock().now());
        all.push(record.id);
        if number % 2 == 0 {
            about.push(record.id);
        }
        store.log(vec![Arc::new(made(&workspace, record))]).await.expect("log");
    }
    for (subject, expected) in [(None, all), (Some("even"), about.clone()), (Some("none"), Vec::new())] {
        let (mut found, mut before, mut steps) = (Vec::new(), None, Steps::default());
        loop {
            steps.take();
            let page = store.requests(&workspace, subject, before, 2).await.expect("requests");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            before = Some(last.id);
            found.extend(page.into_iter().map(|record| record.id));
        }
        assert_eq!(found, newest_first(expected));
    }
    let newest = store.request_about(&workspace, "even").await.expect("about").map(|record| record.id);
    assert_eq!(newest, about.last().copied());
    assert_eq!(store.request_about(&workspace, "none").await.expect("about"), None);
}

/// A sweep does not forget that the outcome of a call is unknown.
pub async fn inv_38_a_sweep_does_not_forget_an_unknown_call(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(MINUTE);
    let (first, second) = (Caller::new(&store, &workspace), Caller::new(&store, &workspace));
    first.begin("k", until).await;
    for expected in [Begun::Running(first.execution), Begun::Unknown(first.execution)] {
        store.sweep(sweep(&workspace, harness.clock().now().after(DAY)), 100).await.expect("sweep");
        assert_eq!(second.begin("k", until.after(DAY)).await, expected);
        harness.clock().advance(MINUTE * 2);
    }
}
