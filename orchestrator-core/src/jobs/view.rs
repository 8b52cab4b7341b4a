//! A stored job in the words of the contract.

use orchestrator_types::{CallbackView, DeadLetter, JobView, Timestamp};

use crate::store::{JobKind, JobRecord, JobState};

/// `delivery` is the job that delivers the outcome, where there is one.
pub(crate) fn job_view(record: &JobRecord, delivery: Option<&JobRecord>, now: Timestamp) -> JobView {
    let callback = record.job.callback.as_ref().map(|name| {
        let (status, attempts) = match (record.job.kind, delivery) {
            (JobKind::Call, None) => ("waiting", 0),
            (JobKind::Call, Some(delivery)) => (delivery_status(delivery.state), delivery.attempt),
            _ => (delivery_status(record.state), record.attempt),
        };
        CallbackView { name: name.clone(), status: status.to_owned(), attempts }
    });
    JobView {
        id: record.job.id,
        status: record.status(now),
        connector: record.job.connector.clone(),
        operation: record.job.operation.clone(),
        attempt: record.attempt,
        max_attempts: record.job.max_attempts,
        created_at: record.created_at,
        run_at: record.run_at,
        finished_at: record.finished_at,
        output: record.output.as_ref().and_then(|output| serde_json::from_slice(output).ok()),
        error: record.error.clone(),
        callback,
        trace_id: record.job.trace_id,
        metadata: record.job.metadata.clone(),
    }
}

fn delivery_status(state: JobState) -> &'static str {
    match state {
        JobState::Queued | JobState::Running => "pending",
        JobState::Succeeded => "delivered",
        JobState::Dead => "dead",
        JobState::Cancelled => "cancelled",
    }
}

pub(crate) fn dead_letter(record: JobRecord) -> DeadLetter {
    DeadLetter {
        id: record.job.id,
        kind: record.job.kind.as_str().to_owned(),
        connector: record.job.connector,
        callback: record.job.callback.filter(|_| record.job.kind != JobKind::Call),
        operation: record.job.operation,
        subject: record.job.subject,
        attempts: record.attempt,
        reason: record.dead_reason.unwrap_or_default(),
        error: record.error,
        created_at: record.created_at,
        died_at: record.finished_at.unwrap_or(record.created_at),
        trace_id: record.job.trace_id,
    }
}
