//! `orchestrator events`.

use clap::{Args, Subcommand};
use futures_util::StreamExt;
use orchestrator_client::{Client, Error, EventFilter, EventQuery};
use orchestrator_types::{EventId, EventType, EventView};

use super::Verdict;
use super::connection::Connection;
use super::output::{Printer, note};

/// The events of a workspace. The token's workspace is the one whose events they are.
#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// Show events, and each new one as it happens, until Ctrl-C.
    Tail(Tail),
}

/// Show events.
#[derive(Debug, Args)]
pub(super) struct Tail {
    /// After this event; from the first that is kept if absent.
    #[arg(long)]
    after: Option<EventId>,
    /// Only of this type, as `job.succeeded`.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<EventType>,
    /// Only about this: the id of a job, execution or inbox entry, or a name.
    #[arg(long)]
    subject: Option<String>,
    /// End after so many.
    #[arg(long)]
    limit: Option<usize>,
    /// End with the newest instead of waiting for more.
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Events {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let Self::Tail(tail) = self;
        let client = tail.connection.client()?;
        let limit = tail.limit.unwrap_or(usize::MAX);
        if tail.no_follow {
            tail.pages(printer, &client, limit).await?;
        } else {
            tokio::select! {
                done = tail.stream(printer, &client, limit) => done?,
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Ok(Verdict::Good)
    }
}

impl Tail {
    async fn pages(&self, printer: Printer, client: &Client, limit: usize) -> anyhow::Result<()> {
        const PAGE: u32 = 500;
        let mut query = EventQuery {
            after: self.after,
            kinds: self.kind.into_iter().collect(),
            subject: self.subject.clone(),
            trace_id: None,
            wait: None,
            limit: Some(PAGE),
        };
        let mut left = limit;
        while left > 0 {
            let page = client.events(&query).await?;
            for event in page.items.iter().take(left) {
                show(printer, event)?;
            }
            left = left.saturating_sub(page.items.len());
            // Filtered pages may be empty and yet have others behind them: only the cursor tells the end.
            let Some(cursor) = page.next_cursor.and_then(|cursor| cursor.parse().ok()) else { break };
            query.after = Some(cursor);
        }
        Ok(())
    }

    async fn stream(&self, printer: Printer, client: &Client, limit: usize) -> anyhow::Result<()> {
        let filter = EventFilter {
            kinds: self.kind.into_iter().collect(),
            subject: self.subject.clone(),
            ..EventFilter::default()
        };
        let mut events = client.event_stream(self.after, filter);
        let mut left = limit;
        while left > 0 {
            match events.next().await {
                Some(Ok(event)) => {
                    show(printer, &event)?;
                    left -= 1;
                }
                Some(Err(Error::Decode { what, .. })) => note(&format!("an {what} that this version does not know"))?,
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
        }
        Ok(())
    }
}

fn show(printer: Printer, event: &EventView) -> anyhow::Result<()> {
    printer
        .line(event, || format!("{}  {}  {:<20}  {}  {}", event.time, event.id, event.kind, event.subject, event.data))
}
