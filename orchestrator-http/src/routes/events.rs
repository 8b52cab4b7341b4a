//! `GET /events`: paging, long polls, and the stream.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;
use orchestrator_core::store::EventFilter;
use orchestrator_types::{EventId, EventType, EventView, Page, TraceId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::pages::Wait;
use super::stream;
use crate::api::Api;
use crate::auth::ExecCaller;
use crate::extract::{Limit, Params};
use crate::problem::Refusal;

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Those after this event.
    after: Option<EventId>,
    /// The same, by the name that other lists have for it.
    cursor: Option<EventId>,
    /// Of these types, separated by commas.
    #[serde(rename = "type")]
    kinds: Option<String>,
    /// About this: the id of a job, execution or inbox entry, or a name.
    subject: Option<String>,
    /// Of this trace.
    trace_id: Option<TraceId>,
    /// How many items: 1 to 500.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    limit: Limit,
    /// How long to wait for the first, in milliseconds.
    #[param(value_type = Option<u32>, maximum = 30000)]
    wait_ms: Wait,
}

/// Read the event stream
///
/// Events of the workspace in their one order, from after `after`. With `Accept: text/event-stream` they are streamed as
/// they come, each with its id, and resume from `Last-Event-ID`.
#[utoipa::path(
    get, path = "/events", tag = "events", operation_id = "list_events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "Where a stream resumes")),
    responses((status = 200, description = "A page, or the stream", content(
        (Page<EventView> = "application/json"),
        (String = "text/event-stream"),
    )))
)]
pub(super) async fn events(
    State(api): State<Api>,
    caller: ExecCaller,
    headers: HeaderMap,
    Params(query): Params<EventsQuery>,
) -> Result<Response, Refusal> {
    let filter =
        EventFilter { kinds: kinds(query.kinds.as_deref())?, subject: query.subject, trace_id: query.trace_id };
    let after = match (query.after, query.cursor) {
        (Some(_), Some(_)) => return Err(Refusal::invalid("", "`after` and `cursor` are the same: give one")),
        (after, cursor) => after.or(cursor),
    };
    let waiter = api.waiting().enter(&caller.workspace)?;
    if wants_stream(&headers) {
        let after = resumed(&headers)?.or(after);
        return Ok(stream::events(api, caller, after, filter, waiter));
    }
    let Wait(wait) = query.wait_ms;
    let events = api.engine().events();
    let page: Page<EventView> = events.page(&caller.workspace, after, &filter, query.limit.get(), wait).await?;
    Ok(Json(page).into_response())
}

fn kinds(text: Option<&str>) -> Result<Vec<EventType>, Refusal> {
    let names = text.into_iter().flat_map(|text| text.split(','));
    names.map(|name| name.trim().parse().map_err(|_| Refusal::invalid("", "`type`: no such event type"))).collect()
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepts
        .flat_map(|accept| accept.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")))
}

/// Where a reader that was cut off goes on.
fn resumed(headers: &HeaderMap) -> Result<Option<EventId>, Refusal> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    match id.to_str().map(str::trim) {
        // A browser that has seen no event yet sends none, or an empty one.
        Ok("") => Ok(None),
        id => id
            .ok()
            .and_then(|id| id.parse().ok())
            .map(Some)
            .ok_or_else(|| Refusal::invalid("", "`Last-Event-ID` is not the id of an event")),
    }
}
