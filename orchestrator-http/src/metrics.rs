//! What the HTTP face counts, and how it is shown. The registry is a value: two servers in one process do not meet.
//!
//! Labels come from closed sets (route templates, status classes, known providers), so that no caller can grow them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
const PROVIDERS: [&str; 6] = ["stripe", "github", "shopify", "slack", "standard-webhooks", "hmac"];

/// The media type of the classic exposition.
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The media type of the OpenMetrics exposition.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WebhookLabels {
    provider: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
}

/// How a webhook was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// Taken in.
    Accepted,
    /// Taken in before.
    Duplicate,
    /// No route takes it.
    NoRoute,
    /// Its signature does not verify.
    BadSignature,
    /// It cannot be read.
    Unreadable,
    /// It could not be stored.
    Failed,
}

impl WebhookOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::NoRoute => "no_route",
            Self::BadSignature => "bad_signature",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }
}

/// A value read at the moment of the scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The metric's name after `orchestrator_`.
    pub name: &'static str,
    /// What it is, in a sentence without a full stop.
    pub help: &'static str,
    /// Its labels, from closed or capped sets.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
    /// Whether it only grows.
    pub counter: bool,
}

/// Reads gauges of the engine when somebody scrapes.
pub trait Gauges: Send + Sync + 'static {
    /// The readings of this moment. Must not block.
    fn read(&self) -> Vec<Reading>;
}

/// The registry and the handles into it.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram>,
    webhooks: Family<WebhookLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    gauges: Mutex<Vec<Arc<dyn Gauges>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("orchestrator");
        let requests = Family::<RequestLabels, Counter>::default();
        let latency = Family::<RouteLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let webhooks = Family::<WebhookLabels, Counter>::default();
        let refusals = Family::<RefusalLabels, Counter>::default();
        registry.register("http_requests", "Requests answered, by route and class of status", requests.clone());
        registry.register("http_request_duration_seconds", "How long requests took, by route", latency.clone());
        registry.register("webhooks", "Webhooks answered, by provider and outcome", webhooks.clone());
        registry.register("auth_refusals", "Requests refused for who sent them, by code", refusals.clone());
        Self { registry, requests, latency, webhooks, refusals, gauges: Mutex::default() }
    }
}

impl Metrics {
    /// Reads `gauges` at each scrape from now on.
    pub fn watch(&self, gauges: Arc<dyn Gauges>) {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner).push(gauges);
    }

    /// Counts a request. `route` is a template of the router, never a path.
    pub fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = method_label(method);
        let labels = RequestLabels { method, route: route.to_owned(), status: class(status) };
        self.requests.get_or_create(&labels).inc();
        self.latency.get_or_create(&RouteLabels { method, route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Counts a webhook. A provider that is not known counts as `other`.
    pub fn webhook(&self, provider: &str, outcome: WebhookOutcome) {
        let provider = PROVIDERS.into_iter().find(|known| *known == provider).unwrap_or("other");
        self.webhooks.get_or_create(&WebhookLabels { provider, outcome: outcome.as_str() }).inc();
    }

    /// Counts a refusal for who called.
    pub fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { code }).inc();
    }

    /// The exposition, and its media type: OpenMetrics if `accept` names it, else the classic text. `readings` are shown
    /// beside those of the watched gauges.
    #[must_use]
    pub fn exposition(&self, accept: Option<&str>, readings: Vec<Reading>) -> (&'static str, String) {
        let mut gauges = Registry::with_prefix("orchestrator");
        let watched = self.gauges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        register(&mut gauges, watched.iter().flat_map(|gauges| gauges.read()).chain(readings).collect());
        let mut text = String::new();
        // Writing to a string does not fail.
        text::encode_registry(&mut text, &self.registry).ok();
        text::encode_registry(&mut text, &gauges).ok();
        // A family without labels is written with an empty pair of braces, which says nothing.
        let text = text.replace("{} ", " ");
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            return (OPEN_METRICS, text + "# EOF\n");
        }
        (CLASSIC, classic(&text))
    }
}

/// Each name once, with all its readings.
fn register(registry: &mut Registry, readings: Vec<Reading>) {
    type Labels = Vec<(&'static str, String)>;
    let mut gauges: HashMap<&'static str, Family<Labels, Gauge<f64, AtomicU64>>> = HashMap::new();
    let mut counters: HashMap<&'static str, Family<Labels, Counter<f64, AtomicU64>>> = HashMap::new();
    for Reading { name, help, labels, value, counter } in readings {
        if counter {
            let family = counters.entry(name).or_insert_with(|| {
                let family = Family::default();
                registry.register(name, help, Family::clone(&family));
                family
            });
            family.get_or_create(&labels).inc_by(value);
        } else {
            let family = gauges.entry(name).or_insert_with(|| {
                let family = Family::default();
                registry.register(name, help, Family::clone(&family));
                family
            });
            family.get_or_create(&labels).set(value);
        }
    }
}

/// OpenMetrics as the classic text: a counter's name ends in `_total` in its description too, and there are no units.
fn classic(open_metrics: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in open_metrics.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")) {
            counters.push(name);
        }
    }
    let mut text = String::with_capacity(open_metrics.len() + 64);
    for line in open_metrics.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| {
            let (name, rest) = line.strip_prefix(kind)?.split_once(' ')?;
            counters.contains(&name).then(|| format!("{kind}{name}_total {rest}"))
        });
        text.push_str(described.as_deref().unwrap_or(line));
        text.push('\n');
    }
    text
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Depth;

    impl Gauges for Depth {
        fn read(&self) -> Vec<Reading> {
            let depth = |workspace: &str, value| Reading {
                name: "queue_depth",
                help: "Jobs that wait",
                labels: vec![("workspace", workspace.to_owned())],
                value,
                counter: false,
            };
            vec![depth("a-dev", 3.0), depth("b\"\n-dev", 4.0)]
        }
    }

    #[test]
    fn the_classic_text_describes_counters_by_the_name_they_are_shown_by() {
        let metrics = Metrics::default();
        metrics.watch(Arc::new(Depth));
        metrics.request(&Method::GET, "/jobs/{id}", StatusCode::OK, Duration::from_millis(3));
        let (kind, text) = metrics.exposition(None, Vec::new());
        assert_eq!(kind, CLASSIC);
        for line in [
            "# TYPE orchestrator_http_requests_total counter",
            "orchestrator_http_requests_total{method=\"GET\",route=\"/jobs/{id}\",status=\"2xx\"} 1",
            "# TYPE orchestrator_http_request_duration_seconds histogram",
            "orchestrator_queue_depth{workspace=\"a-dev\"} 3.0",
            "orchestrator_queue_depth{workspace=\"b\\\"\\n-dev\"} 4.0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
    }

    #[test]
    fn open_metrics_is_given_to_who_asks_for_it() {
        let (kind, text) =
            Metrics::default().exposition(Some("application/openmetrics-text;version=1.0.0,*/*;q=0.1"), Vec::new());
        assert_eq!(kind, OPEN_METRICS);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn strangers_cannot_grow_the_labels() {
        let metrics = Metrics::default();
        for number in 0..1_000 {
            metrics.webhook(&format!("provider-{number}"), WebhookOutcome::NoRoute);
        }
        let shown = metrics
            .exposition(None, Vec::new())
            .1
            .lines()
            .filter(|line| line.starts_with("orchestrator_webhooks_total{"))
            .count();
        assert_eq!(shown, 1);
    }
}
