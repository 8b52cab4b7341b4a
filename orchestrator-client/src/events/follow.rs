//! Events as a stream that outlives its connections: it resumes after the last event that it gave.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use http_body_util::BodyExt;
use orchestrator_types::{EventId, EventType, EventView, TraceId};
use tokio::time::Instant;

use super::page::{EventQuery, names};
use super::sse::{Frame, Parser};
use crate::client::Client;
use crate::error::{Error, TransportError};
use crate::transport::{Body, Call};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The largest event that is read, in bytes.
const EVENT_LIMIT: usize = 8 * 1024 * 1024;
/// So many connections in a row that give not one byte are proof that something on the way holds streams back.
const MUTE: u32 = 2;
/// How long a page is waited for where streams do not come through: below what proxies cut off.
const POLL: Duration = Duration::from_secs(25);

/// Which events a stream gives. Empty means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of these types.
    pub kinds: Vec<EventType>,
    /// About this: the id of a job, execution or inbox entry, or a name.
    pub subject: Option<String>,
    /// Of this trace.
    pub trace_id: Option<TraceId>,
}

impl Client {
    /// The events after `after` (from the first that is kept if `None`), and then each new one as it happens.
    ///
    /// The stream opens its connection when it is polled, and another one after a pause whenever one breaks, falls silent or is
    /// ended by the server; no event comes twice or is skipped. It has no end of its own.
    ///
    /// Where streams do not come through (something on the way answers with another content type, or lets nothing pass twice in a
    /// row), it goes on by long polls of pages.
    ///
    /// Its errors: after [`Retry::max_tries`](crate::Retry) failures in a row each further one is given, and polling on tries again; an
    /// event that cannot be read (of a type that this version does not know) is given as [`Error::Decode`], and the stream goes on
    /// behind it; a refusal (401, 403, 400) is given once and ends the stream. To go on after that or after a restart of your
    /// own, keep the id of the last event that you have dealt with.
    pub fn event_stream(
        &self,
        after: Option<EventId>,
        filter: EventFilter,
    ) -> impl Stream<Item = Result<EventView, Error>> + Send + Unpin + 'static {
        let follow = Follow {
            client: self.clone(),
            filter,
            after,
            cursor: None,
            given: after,
            connection: None,
            paged: None,
            mute: 0,
            failures: 0,
            told: None,
            ended: false,
        };
        stream::unfold(follow, |mut follow| async move {
            let item = follow.next().await?;
            Some((item, follow))
        })
        .boxed()
    }
}

struct Follow {
    client: Client,
    filter: EventFilter,
    after: Option<EventId>,
    /// What the server last called the place in the stream that we are at.
    cursor: Option<String>,
    given: Option<EventId>,
    connection: Option<Connection>,
    /// Events of a page that are not given yet; `Some` where streams do not come through.
    paged: Option<VecDeque<EventView>>,
    /// Connections in a row that gave not one byte.
    mute: u32,
    /// Connections in a row that gave nothing.
    failures: u32,
    /// The `Retry-After` of the last refusal.
    told: Option<Duration>,
    ended: bool,
}

struct Connection {
    body: Body,
    parser: Parser,
    opened_at: Instant,
    heard: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Result<EventView, Error>> {
        while !self.ended {
            if self.paged.is_some() {
                match self.page().await {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            let silence = self.client.transport().silence();
            let lost = match &mut self.connection {
                Some(connection) => match connection.frame(silence).await {
                    Ok(Some(frame)) => match self.take(frame) {
                        Some(item) => return Some(item),
                        None => continue,
                    },
                    Ok(None) => None,
                    Err(problem) => Some(problem),
                },
                None => match self.connect().await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        continue;
                    }
                    Err(problem) => Some(problem),
                },
            };
            if self.held_back(lost.as_ref()) {
                self.connection = None;
                self.failures = 0;
                self.paged = Some(VecDeque::new());
                continue;
            }
            if let Some(item) = self.lose(lost) {
                return Some(Err(item));
            }
        }
        None
    }

    /// The next event of a page, or the error that the caller should see now.
    async fn page(&mut self) -> Option<Result<EventView, Error>> {
        if let Some(event) = self.paged.as_mut().and_then(VecDeque::pop_front) {
            self.cursor = Some(event.id.to_string());
            self.given = Some(event.id);
            return Some(Ok(event));
        }
        self.pause().await;
        let query = EventQuery {
            after: self.cursor.as_ref().and_then(|cursor| cursor.parse().ok()).or(self.after),
            kinds: self.filter.kinds.clone(),
            subject: self.filter.subject.clone(),
            trace_id: self.filter.trace_id,
            wait: Some(POLL),
            limit: None,
        };
        let asked_at = Instant::now();
        match self.client.events(&query).await {
            Ok(page) => {
                // A server that drains answers before the time is over: do not ask in a tight loop.
                // A page of what a filter passes over is empty, and yet moves on.
                let moved = page.next_cursor.is_some() && page.next_cursor != self.cursor;
                let early = page.items.is_empty() && !moved && asked_at.elapsed() < POLL;
                self.failures = if early { self.failures.saturating_add(1) } else { 0 };
                self.cursor = page.next_cursor.or(self.cursor.take());
                let given = self.given;
                self.paged = Some(page.items.into_iter().filter(|event| Some(event.id) != given).collect());
                None
            }
            Err(problem) => self.lose(Some(problem)).map(Err),
        }
    }

    async fn pause(&mut self) {
        if self.failures > 0 {
            let retry = self.client.transport().retry();
            let pause = retry.delay(self.failures, self.told.take(), &mut fastrand::Rng::new());
            tokio::time::sleep(pause).await;
        }
    }

    async fn connect(&mut self) -> Result<Connection, Error> {
        self.pause().await;
        let mut call = Call::get("list_events", ["events"])
            .query("type", names(&self.filter.kinds))
            .query("subject", self.filter.subject.as_ref())
            .query("trace_id", self.filter.trace_id)
            .header(ACCEPT, "text/event-stream");
        call = match &self.cursor {
            Some(cursor) => call.header(LAST_EVENT_ID, cursor),
            None => call.query("after", self.after),
        };
        let response = self.client.transport().open(&call, self.client.caller()).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(Error::Decode { what: "event stream", source: None });
        }
        let body = response.into_body();
        Ok(Connection { body, parser: Parser::new(EVENT_LIMIT), opened_at: Instant::now(), heard: false })
    }

    /// What a frame gives, if anything. The place in the stream moves past it either way.
    fn take(&mut self, frame: Frame) -> Option<Result<EventView, Error>> {
        self.failures = 0;
        let read = frame.data.as_deref().map(serde_json::from_str::<EventView>);
        match (frame.id, &read) {
            (Some(id), _) => self.cursor = Some(id),
            (None, Some(Ok(event))) => self.cursor = Some(event.id.to_string()),
            (None, _) => {}
        }
        match read? {
            Ok(event) if self.given == Some(event.id) => None,
            Ok(event) => {
                self.given = Some(event.id);
                Some(Ok(event))
            }
            Err(source) => Some(Err(Error::Decode { what: "event", source: Some(source) })),
        }
    }

    /// Whether it is proven that streams do not come through.
    fn held_back(&mut self, lost: Option<&Error>) -> bool {
        let mute = self.connection.as_ref().is_some_and(|connection| !connection.heard);
        let silent = matches!(lost, Some(Error::Transport(problem)) if problem.is_timeout());
        self.mute = if mute && silent { self.mute + 1 } else { 0 };
        let other = match lost {
            Some(Error::Decode { what: "event stream", .. }) => true,
            Some(problem) => problem.status() == Some(StatusCode::NOT_ACCEPTABLE),
            None => false,
        };
        other || self.mute >= MUTE
    }

    /// Counts a connection that is lost or did not come about; gives the error that the caller should see now.
    fn lose(&mut self, problem: Option<Error>) -> Option<Error> {
        let retry = *self.client.transport().retry();
        // One that held for a while was a good one, though nothing happened in the workspace.
        let held = self.connection.take().is_some_and(|connection| connection.opened_at.elapsed() > retry.cap);
        self.failures = if held { 1 } else { self.failures.saturating_add(1) };
        let problem = problem?;
        self.told = problem.retry_after();
        if !problem.is_transient() {
            self.ended = true;
            return Some(problem);
        }
        (self.failures >= retry.max_tries).then_some(problem)
    }
}

impl Connection {
    /// The next frame; `None` if the server ended the stream. Dropping the future loses nothing that was read.
    async fn frame(&mut self, silence: Duration) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.parser.frame() {
                return Ok(Some(frame));
            }
            let frame = match tokio::time::timeout(silence, self.body.frame()).await {
                Ok(Some(frame)) => frame?,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Error::Transport(TransportError::silent(silence))),
            };
            let Ok(chunk) = frame.into_data() else { continue };
            self.heard = true;
            self.parser.feed(&chunk).map_err(|_| Error::TooLarge { limit: EVENT_LIMIT })?;
        }
    }
}
