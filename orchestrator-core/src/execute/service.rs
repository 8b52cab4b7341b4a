//! `execute`: plan, keep the idempotency key, call under the policy, record.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_types::{
    EventType, ExecuteResponse, ExecutionId, ExecutionView, FieldError, IdempotencyKey, Name, RequestId, RequestKind,
    RequestView, Timestamp, TraceId, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::coop::cooperative;
use tokio::time::Instant;
use tower::ServiceExt;

use super::attempt::ConnectorAttempt;
use super::call::CallRequest;
use super::failure::CallFailure;
use super::waterfall::waterfall;
use crate::clock::Clock;
use crate::config::{LiveConfig, LiveConnector};
use crate::connector::{CallContext, CallPlan, PlanError};
use crate::engine::{Engine, page_size};
use crate::error::Error;
use crate::finish::Finish;
use crate::payload::check_named;
use crate::policy::RateLimitSnapshot;
use crate::store::{
    Begin, Begun, IdempotencyScope, KeptAnswer, KeyRoute, NewEvent, PayloadLinks, RequestEntry, StoreError,
};

/// How long an answer is kept for its idempotency key.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a request waits for the first one with its key.
const WAIT_FOR_FIRST: Duration = Duration::from_secs(30);
/// So long it is tried to write an answer that somebody relies on, before they hear that it is not written.
const WRITING: Duration = Duration::from_secs(5);
/// So long after its deadline a call that nothing was heard of is taken for dead.
const GRACE: Duration = Duration::from_secs(30);

/// A synchronous call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The connector's name.
    pub connector: Name,
    /// The operation of its kind.
    pub operation: String,
    /// The operation's input.
    pub input: Value,
    /// Shortens the policy's total deadline.
    pub timeout: Option<Duration>,
    /// The idempotency key, with the SHA-256 of the request that it stands for.
    pub idempotency: Option<(IdempotencyKey, [u8; 32])>,
    /// The trace.
    pub trace_id: TraceId,
}

/// How a call ended.
#[derive(Debug)]
pub struct Executed {
    /// The answer, or why there is none.
    pub result: Result<ExecuteResponse, CallFailure>,
    /// Whether this is the answer of an earlier request with the same key.
    pub replayed: bool,
    /// How the connector's rate limit stands.
    pub rate_limit: Option<RateLimitSnapshot>,
}

/// The answer that is kept for an idempotency key.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
enum Kept {
    Succeeded(ExecuteResponse),
    Failed(CallFailure),
}

/// Calls that were made.
#[derive(Clone, Copy)]
pub struct Executions<'a>(pub(crate) &'a Engine);

impl Executions<'_> {
    /// The record of an execution: its attempts, and what each policy decided.
    ///
    /// # Errors
    /// No such workspace or execution, or the store.
    pub async fn get(&self, workspace: &WorkspaceId, id: ExecutionId) -> Result<ExecutionView, Error> {
        self.0.workspace(workspace).await?;
        self.0.recorder.flush().await;
        let record = self.0.store.request_about(workspace, &id.to_string()).await?;
        let record = record.ok_or(Error::not_found("execution"))?;
        Ok(ExecutionView {
            id,
            workspace: workspace.clone(),
            status: record.status,
            connector: record.target,
            operation: record.operation,
            error: record.error,
            attempts: record.attempts,
            duration_ms: record.duration_ms,
            started_at: record.started_at,
            config_version: record.config_version,
            trace_id: record.trace_id,
            waterfall: waterfall(&record.attempts_log, &record.decisions),
            attempts_log: record.attempts_log,
            decisions: record.decisions,
        })
    }

    /// The request log, newest first, older than `cursor`; all, or what is about `subject`.
    ///
    /// # Errors
    /// No such workspace, a crooked cursor, or the store.
    pub async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<orchestrator_types::Page<RequestView>, Error> {
        let limit = page_size(limit);
        self.0.workspace(workspace).await?;
        self.0.recorder.flush().await;
        let before = crate::engine::cursor::<RequestId>(cursor)?;
        let items = self.0.store.requests(workspace, subject, before, limit + 1).await?;
        Ok(crate::engine::page(items, limit, |item| item.id.to_string()))
    }
}

/// Whether what somebody relies on is durable.
enum Written {
    Yes,
    /// The store does not answer: it may be, or become so.
    NotYet(StoreError),
    /// The store does not take it.
    Refused(StoreError),
}

/// Everything that one call needs, so that it goes on when its caller goes away.
struct Running {
    engine: Arc<Engine>,
    live: Arc<LiveConfig>,
    connector: Arc<LiveConnector>,
    plan: CallPlan,
    call: Call,
    id: ExecutionId,
    started_at: Timestamp,
}

/// Makes a call. Once it has begun it is finished and recorded even if the caller goes away.
pub(crate) async fn execute(engine: &Arc<Engine>, workspace: &WorkspaceId, call: Call) -> Result<Executed, Error> {
    let live = engine.serving(workspace).await?;
    let connector = live.connectors.get(&call.connector).ok_or(Error::not_found("connector"))?.clone();
    let plan = plan(&connector, &call.operation, &call.input)?;
    check_named(engine, workspace, &call.input).await?;
    if call.timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(Error::invalid("/timeout_ms", "at least 1"));
    }
    let (id, started_at) = (ExecutionId::new(), engine.clock.now());
    let running = Arc::new(Running { engine: engine.clone(), live, connector, plan, call, id, started_at });
    match running.call.idempotency.clone() {
        None => running.finish(|running| async move { running.run().await }).await,
        Some((key, hash)) => under_key(running, key, hash).await,
    }
}

/// Checks a call before anything is sent.
pub(crate) fn plan(connector: &LiveConnector, operation: &str, input: &Value) -> Result<CallPlan, Error> {
    connector.connector.plan(operation, input).map_err(|error| match error {
        PlanError::OperationNotFound => Error::OperationNotFound { operation: operation.to_owned() },
        PlanError::InvalidInput(errors) => {
            let under = |error: FieldError| FieldError::new(format!("/input{}", error.pointer), error.detail);
            Error::InvalidInput(errors.into_iter().map(under).collect())
        }
    })
}

/// Makes the call under its idempotency key; or answers what an earlier one with the same key did.
async fn under_key(running: Arc<Running>, key: IdempotencyKey, request_hash: [u8; 32]) -> Result<Executed, Error> {
    let deadline = Instant::now() + WAIT_FOR_FIRST;
    let total = Duration::from_millis(running.connector.policy.timeout.total_ms);
    let (engine, workspace) = (running.engine.clone(), running.live.workspace.clone());
    if let Some(kept) = engine.recall(&workspace, KeyRoute::Execute, &key).await {
        return match kept.request_hash == request_hash {
            true => replay(&kept.answer, &running.connector),
            false => Err(Error::IdempotencyMismatch),
        };
    }
    let mut take_over = false;
    let mut pause = Duration::from_millis(5);
    loop {
        let valid_until = running.engine.store_time.now().after(total + GRACE);
        let begin = Begin { key: key.clone(), request_hash, execution: running.id, valid_until, take_over };
        match running.finish(|running| async move { running.begin(begin).await }).await? {
            Step::Made(executed) => {
                engine.used(&workspace, KeyRoute::Execute, &key);
                return Ok(*executed);
            }
            Step::Known(begun) => match begun {
                Begun::Fresh => return Err(Error::Internal("a call was begun and not made".to_owned())),
                Begun::Done(answer) => return replay(&answer, &running.connector),
                Begun::Mismatch => return Err(Error::IdempotencyMismatch),
                Begun::Unknown(_) if running.plan.idempotent && !take_over => take_over = true,
                Begun::Unknown(first) => {
                    let last_step = "the call was about to be sent".to_owned();
                    return Err(Error::OutcomeUnknown { execution: first.to_string(), last_step });
                }
                Begun::Running(_) if Instant::now() >= deadline => return Err(Error::IdempotencyInProgress),
                Begun::Running(_) => {
                    tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
            },
        }
    }
}

fn replay(answer: &[u8], connector: &LiveConnector) -> Result<Executed, Error> {
    let kept: Kept = serde_json::from_slice(answer).map_err(|error| Error::Internal(error.to_string()))?;
    let rate_limit = connector.state.rate_limit_snapshot();
    let result = match kept {
        Kept::Succeeded(response) => Ok(response),
        Kept::Failed(failure) => Err(failure),
    };
    Ok(Executed { result, replayed: true, rate_limit })
}

/// One look at an idempotency key.
enum Step {
    /// The key was free, and the call is made.
    Made(Box<Executed>),
    /// The key is not.
    Known(Begun),
}

impl Running {
    /// Does a step that is finished whether or not its caller stays.
    async fn finish<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        self: &Arc<Self>,
        step: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Error> {
        // Nothing in it may have to wait for anything, and whoever calls in a loop lets others go first all the same.
        let step = cooperative(Finish::new(&self.engine.calls, step(self.clone())));
        step.await.map_err(|_| Error::Internal("the call panicked".to_owned()))?
    }

    /// Notes that the call begins, and makes it: nobody may come in between, or the key would name a call that never was.
    async fn begin(&self, begin: Begin) -> Result<Step, Error> {
        match self.engine.store.begin(&self.live.workspace, begin).await? {
            Begun::Fresh => Ok(Step::Made(Box::new(self.run().await?))),
            known => Ok(Step::Known(known)),
        }
    }

    /// # Errors
    /// The call was made under a key, and how it ended is not written: whoever asks again hears it when it is.
    async fn run(&self) -> Result<Executed, Error> {
        let mut context = CallContext::new(
            self.live.workspace.clone(),
            self.connector.name.clone(),
            self.id.to_string(),
            self.call.trace_id,
        );
        let access = self.engine.payload_access(&self.live);
        if let Some(access) = &access {
            context = context.with_payloads(access.clone());
        }
        let attempt = Arc::new(ConnectorAttempt {
            connector: self.connector.connector.clone(),
            context,
            operation: self.call.operation.clone(),
            input: self.call.input.clone(),
            secrets: self.connector.secrets.clone(),
        });
        let request = CallRequest::new(attempt, self.plan.idempotent, self.call.timeout);
        let outcome = self.connector.stack.clone().oneshot(request.clone()).await;
        let duration_ms = u64::try_from(request.elapsed().as_millis()).unwrap_or(u64::MAX);
        let attempts = request.trace().attempts();
        let rate_limit = self.connector.state.rate_limit_snapshot();
        let (mut large, mut links) = (None, PayloadLinks::default());
        let mut result = match outcome {
            Ok(mut output) => {
                let (apart, named) = self.engine.output_apart(&self.live, access.as_ref(), &output).await;
                large = apart.map(|apart| std::mem::replace(&mut output, apart));
                links = named;
                Ok(ExecuteResponse {
                    id: self.id,
                    status: "succeeded".to_owned(),
                    output,
                    attempts,
                    duration_ms,
                    fallback: request.trace().fell_back(),
                    trace_id: self.call.trace_id,
                })
            }
            Err(fault) => Err(CallFailure {
                id: self.id,
                error: fault.view(),
                attempts,
                duration_ms,
                trace_id: self.call.trace_id,
                retry_after_ms: fault.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                rate_limit,
            }),
        };
        let written = self.record(&request, &result, attempts, duration_ms, links).await;
        let durable = matches!(written, Written::Yes);
        if let (Written::NotYet(error), true) = (written, self.call.idempotency.is_some()) {
            // An answer that is given and not kept would be another one for who asks again.
            return Err(Error::Unavailable(error));
        }
        if let (false, Some(large), Ok(response)) = (durable, large, &mut result) {
            // The reference would lead nowhere until the store is back: the output itself does.
            response.output = large;
        }
        Ok(Executed { result, replayed: false, rate_limit })
    }

    /// Records the call. Says whether what somebody relies on is durable.
    async fn record(
        &self,
        request: &CallRequest,
        result: &Result<ExecuteResponse, CallFailure>,
        attempts: u32,
        duration_ms: u64,
        payloads: PayloadLinks,
    ) -> Written {
        let error = result.as_ref().err().map(|failure| failure.error.clone());
        let (kind, status) = match &error {
            None => (EventType::ExecutionSucceeded, "succeeded"),
            Some(_) => (EventType::ExecutionFailed, "failed"),
        };
        let mut events = request.trace().breaker_events(self.connector.name.as_str(), self.call.trace_id);
        let (attempts_log, decisions) = request.trace().take();
        let data = json!({
            "connector": self.connector.name,
            "operation": self.call.operation,
            "attempts": attempts,
            "duration_ms": duration_ms,
            "code": error.as_ref().map(|error| &error.code),
            "fallback": request.trace().fell_back(),
        });
        events.push(NewEvent::new(kind, self.id, self.call.trace_id, data));
        let record = RequestView {
            id: RequestId::new(),
            kind: RequestKind::Execute,
            subject: self.id.to_string(),
            target: self.connector.name.clone(),
            operation: self.call.operation.clone(),
            status: status.to_owned(),
            error,
            attempts,
            duration_ms,
            started_at: self.started_at,
            config_version: self.live.version,
            trace_id: self.call.trace_id,
            attempts_log,
            decisions,
        };
        self.engine.log_call(&self.live, &record);
        let idempotency = self.call.idempotency.as_ref().map(|(key, _)| IdempotencyScope {
            key: key.clone(),
            execution: self.id,
            // What never reached for the upstream pins nothing: the same request may try again.
            keep: (attempts > 0).then(|| self.kept(result)),
        });
        // Whoever used a key or is referred to a payload relies on it: it is durable before it is answered.
        let waits = idempotency.is_some() || !payloads.is_empty();
        let workspace = self.live.workspace.clone();
        let entry = Arc::new(RequestEntry { workspace, record: Some(record), events, idempotency, payloads });
        if !waits {
            self.engine.recorder.record(entry);
            return Written::Yes;
        }
        let written = self.write(&entry).await;
        if let Written::NotYet(error) | Written::Refused(error) = &written {
            tracing::warn!(%error, "an answer that somebody relies on is not written");
            self.engine.recorder.record(entry);
        }
        written
    }

    /// Writes at once what somebody relies on.
    async fn write(&self, entry: &Arc<RequestEntry>) -> Written {
        let mut pause = Duration::from_millis(20);
        let writing = async {
            loop {
                match self.engine.store.log(vec![entry.clone()]).await {
                    Ok(()) => return Written::Yes,
                    Err(StoreError::Unavailable(_)) => tokio::time::sleep(pause).await,
                    Err(error) => return Written::Refused(error),
                }
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        };
        let late = |late| Written::NotYet(StoreError::unavailable(late));
        tokio::time::timeout(WRITING, writing).await.unwrap_or_else(late)
    }

    fn kept(&self, result: &Result<ExecuteResponse, CallFailure>) -> KeptAnswer {
        let kept = match result {
            Ok(response) => Kept::Succeeded(response.clone()),
            Err(failure) => Kept::Failed(failure.clone()),
        };
        // Both are plain documents, which always have a JSON form.
        let answer = serde_json::to_vec(&kept).map(Bytes::from).unwrap_or_default();
        KeptAnswer { answer, expires_at: self.engine.store_time.now().after(KEPT) }
    }
}
