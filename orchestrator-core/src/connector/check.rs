//! What operators ask of a connector: which operations it has, and how it stands. The latter beside the policies, so that
//! an open breaker hides nothing.
//!
//! **The one rule:** one question at a time for each connector of a workspace, and none longer than its bound.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use orchestrator_types::{
    ConnectorCheck, ConnectorHealth, ErrorView, Name, OperationView, RequestId, TraceId, WorkspaceId,
};
use tokio::time::{Instant, timeout};

use super::error::{CallError, CallErrorKind, Sent};
use super::kind::{CallContext, HealthCheck};
use super::registry::operation_view;
use crate::config::LiveConnector;
use crate::engine::Engine;
use crate::error::Error;
use crate::execute::{error_view, redact};
use crate::secrets::Redactor;

/// Nobody waits longer for an upstream that does not answer; the policy's attempt timeout is often shorter.
const LONGEST: Duration = Duration::from_secs(10);

/// The connectors of workspaces.
#[derive(Clone, Copy)]
pub struct Connectors<'a>(pub(crate) &'a Arc<Engine>);

impl Connectors<'_> {
    /// Every operation of a connector: those of its kind, and those that its settings name.
    ///
    /// # Errors
    /// No such workspace or connector, or the store.
    pub async fn operations(&self, workspace: &WorkspaceId, name: &Name) -> Result<Vec<OperationView>, Error> {
        let live = self.0.live(workspace).await?;
        let missing = Error::not_found("connector");
        let (connector, config) = live.connectors.get(name).zip(live.config.connectors.get(name)).ok_or(missing)?;
        let of_kind = self.0.kinds.describe(&config.kind).map(|kind| kind.operations.as_slice()).unwrap_or_default();
        let own = connector.connector.operations();
        Ok(of_kind.iter().chain(&own).map(operation_view).collect())
    }

    /// Asks a connector's upstream whether it would serve a call. Makes one attempt, beside the limits and the breaker of
    /// its policy, of at most the policy's attempt timeout and 10 s. Changes and records nothing.
    ///
    /// # Errors
    /// No such workspace or connector, the workspace is suspended, the same connector is being checked already, or the
    /// store. That the upstream is not well is no error here: the answer says so.
    pub async fn check(
        &self,
        workspace: &WorkspaceId,
        name: &Name,
        trace_id: TraceId,
    ) -> Result<ConnectorCheck, Error> {
        let live = self.0.serving(workspace).await?;
        let missing = Error::not_found("connector");
        let (connector, config) = live.connectors.get(name).zip(live.config.connectors.get(name)).ok_or(missing)?;
        let busy = Error::TooMany { retry_after: Duration::from_secs(1) };
        let _running = self.0.checks.begin(workspace, name).ok_or(busy)?;
        let (checked_at, began) = (self.0.clock.now(), Instant::now());
        let context = CallContext::new(workspace.clone(), name.clone(), RequestId::new().to_string(), trace_id);
        let (health, error) = ask(connector, &context).await;
        Ok(ConnectorCheck {
            connector: name.clone(),
            kind: config.kind.clone(),
            health,
            error,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            checked_at,
            trace_id,
        })
    }
}

async fn ask(connector: &LiveConnector, context: &CallContext) -> (ConnectorHealth, Option<ErrorView>) {
    let patience = Duration::from_millis(connector.policy.timeout.attempt_ms).min(LONGEST);
    let question = AssertUnwindSafe(connector.connector.health(context)).catch_unwind();
    let answer = timeout(patience, question).await;
    let answer = answer.map(|answer| answer.unwrap_or_else(|_| Err(panicked())));
    match answer {
        Ok(Ok(HealthCheck::Passed)) => (ConnectorHealth::Ok, None),
        Ok(Ok(HealthCheck::NotSupported)) => (ConnectorHealth::NotSupported, None),
        Ok(Err(mut failed)) => {
            let secrets = connector.secrets.all().await;
            if !secrets.is_empty() {
                redact(&mut failed, &Redactor::new(&secrets));
            }
            (ConnectorHealth::Failed, Some(error_view(&failed)))
        }
        Err(_) => {
            let detail = format!("the upstream did not answer within {} ms", patience.as_millis());
            (ConnectorHealth::Failed, Some(ErrorView { code: "timeout".to_owned(), detail, upstream: None }))
        }
    }
}

fn panicked() -> CallError {
    tracing::error!("a connector panicked while it was checked");
    CallError::new(CallErrorKind::Failed, Sent::Maybe, "the connector failed without an answer")
}

/// The checks that run now.
#[derive(Default)]
pub(crate) struct RunningChecks(Mutex<HashSet<(WorkspaceId, Name)>>);

impl RunningChecks {
    /// Notes that a check begins; `None` if one of the same connector runs already.
    fn begin(&self, workspace: &WorkspaceId, name: &Name) -> Option<RunningCheck<'_>> {
        let key = (workspace.clone(), name.clone());
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        new.then_some(RunningCheck { all: self, key })
    }
}

/// One check, as long as it lives.
struct RunningCheck<'a> {
    all: &'a RunningChecks,
    key: (WorkspaceId, Name),
}

impl Drop for RunningCheck<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
