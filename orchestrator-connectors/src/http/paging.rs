//! Reading a list page by page: how the next page is found, and when enough is enough.
//!
//! **The one rule:** the next page is asked for below the base URL or not at all, whatever the upstream says.

use async_trait::async_trait;
use http::HeaderMap;
use http::header::LINK;
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::answer::{Output, judge};
use super::path::BaseUrl;
use super::shape::{Given, pointer};
use crate::egress::EgressAnswer;

/// Pages that are read if nothing is said.
const DEFAULT_PAGES: usize = 10;
/// No list is read further.
pub(crate) const MOST_PAGES: u32 = 100;

/// How the next page is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PagingWay {
    /// By the header `Link` with `rel="next"` (RFC 8288).
    Link,
    /// By a cursor in the page, which becomes a query parameter. None, null or an empty text ends the list.
    Cursor,
    /// By the number of the page. An empty page ends the list.
    Page,
    /// By a field of the page's last item, which becomes a query parameter. An empty page ends the list.
    LastItem,
}

/// Reads a list page by page into one answer, whose body is all its items.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpPaging", extend("required" = ["by"]))]
pub(crate) struct PagingDocument {
    /// How the next page is found.
    #[serde(default)]
    by: Given<PagingWay>,
    /// JSON pointer to the list in each page; the page itself if absent.
    #[serde(default)]
    items: Given<String>,
    /// JSON pointer to the cursor: in the page (`cursor`) or in its last item (`last_item`).
    #[serde(default)]
    cursor: Given<String>,
    /// The query parameter that takes the cursor or the number.
    #[serde(default)]
    parameter: Given<String>,
    /// JSON pointer to what says whether there is more: `false` ends the list.
    #[serde(default)]
    more: Given<String>,
    /// The number of the first page (`page`). 1 if absent.
    #[serde(default)]
    #[schemars(with = "u32")]
    first: Given<f64>,
    /// So many pages are read at most. 10 if absent.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 100))]
    max_pages: Given<f64>,
}

/// The same, sound.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    way: Way,
    items: String,
    more: Option<String>,
    max_pages: usize,
}

#[derive(Debug, Clone)]
enum Way {
    Link,
    Cursor { at: String, parameter: String },
    Page { first: u64, parameter: String },
    LastItem { at: String, parameter: String },
}

impl PagingDocument {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it, below `place`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds both")]
    pub(crate) fn read(self, place: &str) -> Result<Paging, Vec<FieldError>> {
        let mut problems = Vec::new();
        let at = |member: &str| pointer(place, member);
        for (member, given) in [("items", &self.items.0), ("cursor", &self.cursor.0), ("more", &self.more.0)] {
            if given.as_ref().is_some_and(|text| !text.is_empty() && !text.starts_with('/')) {
                problems.push(FieldError::new(at(member), "a JSON pointer begins with `/`"));
            }
        }
        let mut needed = |member: &str, given: Option<String>| {
            let given = given.filter(|text| !text.is_empty());
            if given.is_none() {
                problems.push(FieldError::new(at(member), "this way of paging needs it"));
            }
            given.unwrap_or_default()
        };
        let way = match self.by.0 {
            Some(PagingWay::Link) => Some(Way::Link),
            Some(PagingWay::Cursor) => Some(Way::Cursor {
                at: needed("cursor", self.cursor.0),
                parameter: needed("parameter", self.parameter.0),
            }),
            Some(PagingWay::Page) => Some(Way::Page {
                first: self.first.0.map_or(1, |first| first.clamp(0.0, 1e15) as u64),
                parameter: needed("parameter", self.parameter.0),
            }),
            Some(PagingWay::LastItem) => Some(Way::LastItem {
                at: needed("cursor", self.cursor.0),
                parameter: needed("parameter", self.parameter.0),
            }),
            // The schema tells that it is missing or none of these.
            None => None,
        };
        let max_pages =
            self.max_pages.0.map_or(DEFAULT_PAGES, |pages| pages.clamp(1.0, f64::from(MOST_PAGES)) as usize);
        match way {
            Some(way) if problems.is_empty() => {
                Ok(Paging { way, items: self.items.0.unwrap_or_default(), more: self.more.0, max_pages })
            }
            _ => Err(problems),
        }
    }
}

/// Fetches one page.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    /// The answer to one request for `url`, whose body has at most `most` bytes.
    async fn fetch(&self, url: Url, most: usize) -> Result<EgressAnswer, CallError>;

    /// What an answer means.
    fn judge(&self, answer: &EgressAnswer) -> Result<Output, CallError> {
        judge(answer)
    }
}

/// What was read.
pub(crate) struct Collected {
    /// The last answer, with all items for its body.
    pub(crate) output: Output,
    pub(crate) pages: usize,
    /// What the next page would be asked for by, if there is one that was not read.
    pub(crate) next: Option<String>,
}

impl Paging {
    /// The pages of a list by its last item, as some APIs have it throughout.
    pub(crate) fn by_last_item(items: &str, at: &str, parameter: &str, more: &str, max_pages: usize) -> Self {
        let way = Way::LastItem { at: at.to_owned(), parameter: parameter.to_owned() };
        Self { way, items: items.to_owned(), more: Some(more.to_owned()), max_pages }
    }

    /// Reads pages from `first` on until there are no more, or as many as may be read. All together have at most `most`
    /// bytes.
    ///
    /// # Errors
    /// A page failed, holds no list, is too large, or leads out of the base URL: then there is no answer at all.
    pub(crate) async fn collect(
        &self,
        base: &BaseUrl,
        first: Url,
        most: usize,
        fetch: &dyn Fetch,
    ) -> Result<Collected, CallError> {
        let mut url = match &self.way {
            Way::Page { first: number, parameter } => with_parameter(&first, parameter, &number.to_string()),
            _ => first,
        };
        let (mut all, mut left) = (Vec::new(), most);
        for number in 1.. {
            let answer = fetch.fetch(url.clone(), left).await.map_err(|failed| in_page(number, failed))?;
            left = left.saturating_sub(answer.body.len());
            let mut output = fetch.judge(&answer).map_err(|failed| in_page(number, failed))?;
            let next = self.next(base, &url, number, &answer.headers, output.body())?;
            let items = output.body_mut().pointer_mut(&self.items).and_then(Value::as_array_mut);
            all.append(items.ok_or_else(|| unreadable("the page has no list where `items` points"))?);
            match next {
                Some(next) if number < self.max_pages => url = next.url,
                rest => {
                    *output.body_mut() = Value::Array(all);
                    return Ok(Collected { output, pages: number, next: rest.map(|next| next.told) });
                }
            }
        }
        Err(unreadable("the list has no end"))
    }

    /// The page after one that was read.
    fn next(
        &self,
        base: &BaseUrl,
        url: &Url,
        number: usize,
        headers: &HeaderMap,
        page: &Value,
    ) -> Result<Option<Next>, CallError> {
        let ended = self.more.as_ref().is_some_and(|at| page.pointer(at) == Some(&Value::Bool(false)));
        let last = page.pointer(&self.items).and_then(Value::as_array).and_then(|items| items.last());
        if ended {
            return Ok(None);
        }
        let by = |parameter: &str, value: Option<String>| {
            value.map(|value| Next { url: with_parameter(url, parameter, &value), told: value })
        };
        let next = match &self.way {
            Way::Link => match next_link(headers) {
                Some(link) => {
                    let to = url.join(&link).ok().filter(|to| base.holds(to));
                    let to = to.ok_or_else(|| unreadable("the upstream's next page lies outside of the base URL"))?;
                    let told = to[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
                    Some(Next { url: to, told })
                }
                None => None,
            },
            Way::Cursor { at, parameter } => by(parameter, page.pointer(at).and_then(cursor)),
            Way::Page { first, parameter } => {
                let following = first.saturating_add(number as u64).to_string();
                by(parameter, last.map(|_| following))
            }
            Way::LastItem { at, parameter } => by(parameter, last.and_then(|item| item.pointer(at)).and_then(cursor)),
        };
        if next.as_ref().is_some_and(|next| next.url == *url) {
            return Err(unreadable("the upstream names the same page as its next"));
        }
        Ok(next)
    }
}

struct Next {
    url: Url,
    /// What names it to whoever goes on from there.
    told: String,
}

fn cursor(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn in_page(number: usize, mut failed: CallError) -> CallError {
    if number > 1 {
        failed.detail = format!("page {number}: {}", failed.detail);
        // The pages before were seen.
        failed.sent = Sent::Maybe;
    }
    failed
}

fn unreadable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::Maybe, detail)
}

/// The URL with one query parameter set; whatever value it had is gone.
fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let mut to = url.clone();
    let others: Vec<_> = url.query_pairs().filter(|(known, _)| known != name).collect();
    to.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    to
}

/// The target of the first link with the relation `next`.
fn next_link(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(links)
        .find(|(_, relations)| relations.iter().any(|one| one.eq_ignore_ascii_case("next")))
        .map(|(target, _)| target)
}

/// The links of a header: each target with its relations.
fn links(header: &str) -> Vec<(String, Vec<String>)> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((_, from)) = rest.split_once('<') {
        let Some((target, parameters)) = from.split_once('>') else { break };
        let end = end_of_parameters(parameters);
        let relations = parameters[..end].split(';').filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"').split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
            name.trim().eq_ignore_ascii_case("rel").then_some(value)
        });
        links.push((target.trim().to_owned(), relations.flatten().collect()));
        rest = &parameters[end..];
    }
    links
}

/// Where the parameters of a link end: at a comma that is not within quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn link(header: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, header.parse().unwrap());
        next_link(&headers)
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        let github = r#"<https://a.example/x?page=1>; rel="prev", <https://a.example/x?page=3>; rel="next""#;
        assert_eq!(link(github).as_deref(), Some("https://a.example/x?page=3"));
        assert_eq!(link("</x,y>; title=\"a, <b>; c\"; REL=Next").as_deref(), Some("/x,y"));
        assert_eq!(link(r#"</a>; rel="last next""#).as_deref(), Some("/a"));
        for none in [r#"</a>; rel="nextish""#, "</a>", "</a", "rel=next", "", "</a>; rel"] {
            assert_eq!(link(none), None, "{none}");
        }
    }

    #[test]
    fn a_parameter_is_set_once() {
        let url = Url::parse("https://a.example/x?limit=2&after=1&after=2").unwrap();
        assert_eq!(with_parameter(&url, "after", "a b").as_str(), "https://a.example/x?limit=2&after=a+b");
    }

    #[test]
    fn what_a_way_needs_is_asked_for() {
        for (document, pointers) in [
            (json!({"by": "cursor"}), vec!["/p/cursor", "/p/parameter"]),
            (json!({"by": "page", "items": "data"}), vec!["/p/items", "/p/parameter"]),
            (json!({"by": "last_item", "cursor": "/id", "parameter": "after"}), vec![]),
            (json!({"by": "link", "more": "/more"}), vec![]),
        ] {
            let document: PagingDocument = serde_json::from_value(document).unwrap();
            let problems = document.read("/p").err().unwrap_or_default();
            assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), pointers);
        }
    }
}
