//! Events as a stream that outlives its connections: it resumes after the last event that it gave.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use http::HeaderName;
use http::header::{ACCEPT, CONTENT_TYPE};
use orchestrator_types::{EventId, EventType, EventView};
use tokio::time::Instant;

use super::sse::{Frame, Parser};
use crate::client::Client;
use crate::error::{Error, TransportError};
use crate::transport::Call;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The largest event that is read, in bytes.
const EVENT_LIMIT: usize = 8 * 1024 * 1024;

/// Which events a stream gives. Empty means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this type.
    pub kind: Option<EventType>,
    /// About this: the id of a job, execution or inbox entry, or a name.
    pub subject: Option<String>,
}

impl Client {
    /// The events after `after` (from the first that is kept if `None`), and then each new one as it happens.
    ///
    /// The stream opens its connection when it is polled, and another one after a pause whenever one breaks, falls silent or is
    /// ended by the server; no event comes twice or is skipped. It has no end of its own.
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
    /// Connections in a row that gave nothing.
    failures: u32,
    /// The `Retry-After` of the last refusal.
    told: Option<Duration>,
    ended: bool,
}

struct Connection {
    response: reqwest::Response,
    parser: Parser,
    opened_at: Instant,
}

impl Follow {
    async fn next(&mut self) -> Option<Result<EventView, Error>> {
        while !self.ended {
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
            if let Some(item) = self.lose(lost) {
                return Some(Err(item));
            }
        }
        None
    }

    async fn connect(&mut self) -> Result<Connection, Error> {
        if self.failures > 0 {
            let retry = self.client.transport().retry();
            let pause = retry.delay(self.failures, self.told.take(), &mut fastrand::Rng::new());
            tokio::time::sleep(pause).await;
        }
        let mut call = Call::get(["events"])
            .query("type", self.filter.kind)
            .query("subject", self.filter.subject.as_ref())
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
        Ok(Connection { response, parser: Parser::new(EVENT_LIMIT), opened_at: Instant::now() })
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
            let chunk = match tokio::time::timeout(silence, self.response.chunk()).await {
                Ok(chunk) => chunk?,
                Err(_) => return Err(Error::Transport(TransportError::silent(silence))),
            };
            let Some(chunk) = chunk else { return Ok(None) };
            self.parser.feed(&chunk).map_err(|_| Error::TooLarge { limit: EVENT_LIMIT })?;
        }
    }
}
