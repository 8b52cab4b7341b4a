//! `orchestrator jobs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orchestrator_client::{Client, Error, JobFilter};
use orchestrator_types::{IdempotencyKey, JobId, JobRequest, JobStatus, JobView, Name, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use super::Verdict;
use super::connection::{Connection, Paging, text_of};
use super::output::{Printer, plain};
use super::span::span;

/// Durable jobs. The token's workspace is the one whose jobs they are.
#[derive(Debug, Subcommand)]
pub(super) enum Jobs {
    /// Hand a job over.
    Submit(Box<Submit>),
    /// Show a job.
    Get {
        /// The job.
        id: JobId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Follow a job until it has ended; fails if it did not succeed.
    Watch {
        /// The job.
        id: JobId,
        /// Give up after so long.
        #[arg(long, value_parser = span, default_value = "1h")]
        timeout: Duration,
        #[command(flatten)]
        connection: Connection,
    },
    /// List jobs.
    List {
        /// Only those in this state.
        #[arg(long, value_parser = status)]
        status: Option<JobStatus>,
        /// Only those of this connector.
        #[arg(long)]
        connector: Option<Name>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Cancel a job that has not ended.
    Cancel {
        /// The job.
        id: JobId,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Hand a job over.
#[derive(Debug, Args)]
pub(super) struct Submit {
    /// The connector.
    #[arg(long)]
    connector: Name,
    /// The operation.
    #[arg(long)]
    operation: String,
    /// The operation's input: JSON, `@FILE`, or `-` for standard input.
    #[arg(long, default_value = "{}")]
    input: String,
    /// Shortens the policy's total deadline of each attempt.
    #[arg(long, value_parser = span)]
    timeout: Option<Duration>,
    /// Not before this time (RFC 3339).
    #[arg(long, value_parser = time, conflicts_with = "delay")]
    run_at: Option<Timestamp>,
    /// Not before so long from now.
    #[arg(long, value_parser = span)]
    delay: Option<Duration>,
    /// 0 to 9, higher first.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// The callback that the outcome is delivered to.
    #[arg(long)]
    callback: Option<Name>,
    /// Jobs of one key run one at a time, in order.
    #[arg(long)]
    ordering_key: Option<String>,
    /// Overrides the policy's number of attempts.
    #[arg(long)]
    max_attempts: Option<u32>,
    /// Handed to the callback, as `key=value`; may be given several times.
    #[arg(long, value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The same key with the same job gives the first answer again.
    #[arg(long)]
    idempotency_key: Option<IdempotencyKey>,
    #[command(flatten)]
    connection: Connection,
}

impl Jobs {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Submit(submit) => submit.run(printer).await?,
            Self::Get { id, connection } => show(printer, &connection.client()?.job(id).await?)?,
            Self::Watch { id, timeout, connection } => return watch(printer, &connection.client()?, id, timeout).await,
            Self::List { status, connector, paging, connection } => {
                let page = paging.of(connection.client()?.jobs(&JobFilter { status, connector })).await?;
                printer.page(
                    &page,
                    &["id", "status", "connector", "operation", "attempt", "created"],
                    |job: &JobView| {
                        vec![
                            job.id.to_string(),
                            job.status.as_str().to_owned(),
                            plain(&job.connector),
                            job.operation.clone(),
                            format!("{}/{}", job.attempt, job.max_attempts),
                            job.created_at.to_string(),
                        ]
                    },
                )?;
            }
            Self::Cancel { id, connection } => show(printer, &connection.client()?.cancel_job(id).await?)?,
        }
        Ok(Verdict::Good)
    }
}

impl Submit {
    async fn run(self, printer: Printer) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let request = JobRequest {
            connector: self.connector,
            operation: self.operation,
            input: input(&self.input)?,
            timeout_ms: self.timeout.map(millis),
            run_at: self.run_at,
            delay_ms: self.delay.map(millis),
            priority: self.priority,
            callback: self.callback,
            ordering_key: self.ordering_key,
            max_attempts: self.max_attempts,
            metadata: BTreeMap::from_iter(self.metadata),
        };
        let call = client.submit(&request);
        let job = match self.idempotency_key {
            Some(key) => call.idempotency_key(key).await?,
            None => call.await?,
        };
        printer.told(&job, || job.id.to_string())
    }
}

/// Shows each change of a job until it has ended.
async fn watch(printer: Printer, client: &Client, id: JobId, patience: Duration) -> anyhow::Result<Verdict> {
    const GLANCE: Duration = Duration::from_secs(2);
    let begun = Instant::now();
    let mut seen = None;
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        let (job, ended) = match client.wait_for_job(id, left.min(GLANCE)).await {
            Ok(job) => (job, true),
            Err(Error::NotFinished(job)) => (*job, false),
            Err(error) => return Err(error.into()),
        };
        if seen != Some((job.status, job.attempt)) {
            seen = Some((job.status, job.attempt));
            printer.line(&job, || line(&job))?;
        }
        if ended {
            return Ok((job.status == JobStatus::Succeeded).into());
        }
        if left.is_zero() {
            bail!("the job is still {}: it goes on", job.status.as_str());
        }
    }
}

fn line(job: &JobView) -> String {
    let error = job.error.as_ref().map_or_else(String::new, |error| format!("  {}: {}", error.code, error.detail));
    format!("{}  {:<9}  attempt {}/{}{error}", job.id, job.status.as_str(), job.attempt, job.max_attempts)
}

fn show(printer: Printer, job: &JobView) -> anyhow::Result<()> {
    let callback = job.callback.as_ref();
    let error = job.error.as_ref();
    printer.thing(
        job,
        &[
            ("id", job.id.to_string()),
            ("status", job.status.as_str().to_owned()),
            ("connector", plain(&job.connector)),
            ("operation", job.operation.clone()),
            ("attempt", format!("{}/{}", job.attempt, job.max_attempts)),
            ("created", job.created_at.to_string()),
            ("run at", job.run_at.to_string()),
            ("finished", plain(&job.finished_at)),
            ("error", error.map_or_else(String::new, |error| format!("{}: {}", error.code, error.detail))),
            ("output", plain(&job.output)),
            (
                "callback",
                callback.map_or_else(String::new, |callback| format!("{}: {}", callback.name, callback.status)),
            ),
            ("trace", job.trace_id.to_string()),
        ],
    )
}

fn input(text: &str) -> anyhow::Result<Value> {
    let text = match text.strip_prefix('@') {
        Some(path) => text_of(Path::new(path))?,
        None if text == "-" => text_of(Path::new("-"))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&text).context("the input is no JSON")
}

fn status(text: &str) -> Result<JobStatus, String> {
    let value = Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| {
        "a status is `queued`, `scheduled`, `running`, `retrying`, `succeeded`, `dead` or `cancelled`".to_owned()
    })
}

fn time(text: &str) -> Result<Timestamp, String> {
    let value = Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| "a time is written as 2026-11-23T12:00:00Z".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("`key=value` is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn input_is_json_or_a_file_of_it() -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), "{\"a\": 1}")?;
        assert_eq!(input(&format!("@{}", file.path().display()))?, json!({"a": 1}));
        assert_eq!(input("[]")?, json!([]));
        assert!(input("{a: 1}").is_err());
        Ok(())
    }

    #[test]
    fn states_times_and_pairs_are_read_as_they_are_written() {
        assert_eq!(status("dead"), Ok(JobStatus::Dead));
        assert_eq!(time("1970-01-01T00:00:01Z"), Ok(Timestamp::from_unix_ms(1_000)));
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(status("ended").is_err() && time("tomorrow").is_err() && pair("a").is_err());
    }
}
