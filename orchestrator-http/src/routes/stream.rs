//! Server-sent events. A stream ends when the engine drains, when its token does, or when its identity is deleted.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue};
use orchestrator_core::store::EventFilter;
use orchestrator_types::{EventId, EventView};

use crate::api::Api;
use crate::auth::ExecCaller;
use crate::waiting::Waiter;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// So often a quiet stream looks whether its token still holds.
const CHECK: Duration = Duration::from_secs(2);
const PAGE: usize = 100;

/// A reader of the stream.
struct Reader {
    api: Api,
    caller: ExecCaller,
    filter: EventFilter,
    after: u64,
    _waiter: Waiter,
}

/// The stream of a workspace's events from after `after`.
pub(super) fn events(
    api: Api,
    caller: ExecCaller,
    after: Option<EventId>,
    filter: EventFilter,
    waiter: Waiter,
) -> Response {
    let after = after.map_or(0, EventId::sequence);
    let reader = Reader { api, caller, filter, after, _waiter: waiter };
    let mut response = Sse::new(reader.stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // A proxy that buffers would keep events to itself.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    response
}

impl Reader {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
        stream::unfold(self, async |mut reader| reader.page().await.map(|page| (page, reader)))
            .flat_map(|page| stream::iter(page.into_iter().filter_map(|event| shown(&event)).map(Ok)))
    }

    /// The next events, none if none came for a while; `None` at the end of the stream.
    async fn page(&mut self) -> Option<Vec<EventView>> {
        let engine = self.api.engine().clone();
        if engine.draining().is_cancelled() || !self.still_allowed().await {
            return None;
        }
        let events = engine.events();
        match events.next(&self.caller.workspace, self.after, &self.filter, PAGE, CHECK).await {
            Ok(page) => {
                self.after = page.items.last().map_or(page.scanned_to, |last| last.id.sequence()).max(self.after);
                Some(page.items)
            }
            // The reader comes back with the last id it saw, and loses nothing.
            Err(_) => None,
        }
    }

    async fn still_allowed(&self) -> bool {
        let (engine, claims) = (self.api.engine(), &self.caller.claims);
        self.api.tokens().in_time(claims)
            && matches!(self.api.liveness().holds(engine, claims).await, Ok(true))
            && engine.check_served(&self.caller.workspace).await.is_ok()
    }
}

fn shown(event: &EventView) -> Option<Event> {
    let frame = Event::default().id(event.id.to_string()).event(event.kind.as_str());
    frame.json_data(event).ok()
}
