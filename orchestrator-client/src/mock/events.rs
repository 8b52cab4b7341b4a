//! `GET /events`: pages, long polls and the stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use orchestrator_types::{EventId, EventView, Page};

use super::answer::Answer;
use super::state::Shared;

/// Which events.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) after: Option<EventId>,
    pub(super) kinds: Vec<String>,
    pub(super) subject: Option<String>,
    pub(super) trace_id: Option<String>,
}

impl Wanted {
    fn fits(&self, event: &EventView) -> bool {
        self.after.is_none_or(|after| event.id.sequence() > after.sequence())
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == event.kind.as_str()))
            && self.subject.as_ref().is_none_or(|subject| *subject == event.subject)
            && self.trace_id.as_ref().is_none_or(|trace| *trace == event.trace_id.to_string())
    }
}

impl Shared {
    fn found(&self, wanted: &Wanted, limit: usize) -> Vec<EventView> {
        self.state().events.iter().filter(|event| wanted.fits(event)).take(limit).cloned().collect()
    }

    /// A page; if it would be empty, the first events that come within `wait`.
    pub(super) async fn events(&self, wanted: &Wanted, limit: usize, wait: Duration) -> Answer {
        let mut changes = self.changes();
        let some = async { while self.found(wanted, 1).is_empty() && changes.changed().await.is_ok() {} };
        // That nothing came is an answer as well.
        let _ = tokio::time::timeout(wait, some).await;
        let items = self.found(wanted, limit);
        let next_cursor = items.last().map(|last| last.id.to_string());
        Answer::ok(&Page { items, next_cursor })
    }

    /// The stream.
    pub(super) fn stream(self: &Arc<Self>, wanted: Wanted) -> Response {
        let epoch = self.state().stream_epoch;
        let reader = Reader { shared: Arc::clone(self), wanted, epoch, ready: VecDeque::new() };
        Sse::new(reader.frames()).into_response()
    }
}

struct Reader {
    shared: Arc<Shared>,
    wanted: Wanted,
    epoch: u64,
    ready: VecDeque<EventView>,
}

impl Reader {
    fn frames(self) -> impl Stream<Item = Result<Event, axum::Error>> + Send + 'static {
        stream::unfold(self, |mut reader| async move {
            let event = reader.next().await?;
            let frame = Event::default().id(event.id.to_string()).event(event.kind.as_str()).json_data(&event);
            Some((frame, reader))
        })
    }

    /// The next event; `None` when the test broke the streams.
    async fn next(&mut self) -> Option<EventView> {
        let mut changes = self.shared.changes();
        loop {
            if self.shared.state().stream_epoch != self.epoch {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                self.wanted.after = Some(event.id);
                return Some(event);
            }
            self.ready = self.shared.found(&self.wanted, 100).into();
            if self.ready.is_empty() {
                changes.changed().await.ok()?;
            }
        }
    }
}
