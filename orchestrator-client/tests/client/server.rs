//! The server: answers by a function of the request and its number, and keeps what it saw.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use orchestrator_client::{Client, ClientBuilder, Retry};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The bearer token of the tests.
pub(crate) const TOKEN: &str = "t0ken-c4n4ry";

/// A request, as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// A server that answers each request by `answer`, which gets the request and its number: 0, 1, 2, …
    pub(crate) async fn answering(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (journal, answer) = (Arc::clone(&seen), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (journal, answer) = (Arc::clone(&journal), Arc::clone(&answer));
            async move {
                let (head, body) = request.into_parts();
                let request = Seen {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body: to_bytes(body, usize::MAX).await.unwrap(),
                };
                let number = {
                    let mut journal = journal.lock().unwrap();
                    journal.push(request.clone());
                    journal.len() - 1
                };
                answer(&request, number)
            }
        });
        Self { url: serve(router).await, seen }
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests came for `path`.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path() == path).count()
    }

    /// Options for a client that waits for nothing: no pause is longer than a millisecond.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(&self.url).retry(quick(3))
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().token(TOKEN).build().unwrap()
    }
}

/// Retries without noticeable pauses.
pub(crate) fn quick(max_tries: u32) -> Retry {
    Retry { max_tries, initial: Duration::ZERO, cap: Duration::from_millis(1) }
}

/// Serves `router` on a free port; gives its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// The address of a port that nobody listens on.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) fn answer(status: u16, body: &Value) -> Response {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(Body::from(body.to_string())).unwrap()
}

pub(crate) fn problem(status: u16, code: &str) -> Response {
    let body = json!({
        "type": "about:blank", "title": "A title", "status": status, "detail": "what to change", "code": code,
        "errors": [{"pointer": "/input/path", "detail": "is missing"}],
    });
    let builder = Response::builder().status(status).header("content-type", "application/problem+json");
    builder.body(Body::from(body.to_string())).unwrap()
}

pub(crate) fn with(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

/// An answer that breaks off after `chunks`: the connection is cut.
pub(crate) fn cut(content_type: &str, chunks: Vec<String>) -> Response {
    let cut = futures_util::stream::once(async {
        // Lets the server flush first what came before.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut"))
    });
    let body = Body::from_stream(futures_util::stream::iter(chunks.into_iter().map(Ok)).chain(cut));
    Response::builder().header("content-type", content_type).body(body).unwrap()
}
