//! A small upstream that answers as it is told, and tells what it saw.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use orchestrator_connectors::egress::{EgressAnswer, EgressClient, EgressLimits, EgressPolicy, Lookup};
use orchestrator_core::connector::CallError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case; several of one name are joined by `|`.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Where it listens, and what it has seen.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// Serves each request of each connection by `answer`, which gets the socket and says whether it goes on.
    pub(crate) async fn serving<F, A>(answer: F) -> Self
    where
        F: Fn(Seen, TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = Option<TcpStream>> + Send,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    pub(crate) fn on<F, A>(listener: TcpListener, answer: F) -> Self
    where
        F: Fn(Seen, TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = Option<TcpStream>> + Send,
    {
        let address = listener.local_addr().unwrap();
        let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let upstream = Self { address, connections: connections.clone(), seen: seen.clone() };
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (answer.clone(), seen.clone());
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut socket).await {
                        seen.lock().unwrap().push(request.clone());
                        match answer(request, socket).await {
                            Some(again) => socket = again,
                            None => return,
                        }
                    }
                });
            }
        });
        upstream
    }

    /// Answers every request with these bytes, and keeps the connection.
    pub(crate) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::serving(move |_, mut socket| {
            let bytes = bytes.clone();
            async move { socket.write_all(&bytes).await.is_ok().then_some(socket) }
        })
        .await
    }

    /// Answers every request with these bytes and closes the connection.
    pub(crate) async fn answering_once(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::serving(move |_, mut socket| {
            let bytes = bytes.clone();
            async move {
                let _ = socket.write_all(&bytes).await;
                None
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("a request came")
    }
}

/// An answer with a body and its length.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Told\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

async fn read_request(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let value = value.to_owned();
        headers
            .entry(name.to_ascii_lowercase())
            .and_modify(|known| *known = format!("{known}|{value}"))
            .or_insert(value);
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head);
    while body.len() < length {
        if socket.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen { method, target, headers, body })
}

/// Waits until the peer has closed the connection, whatever it still sends.
pub(crate) async fn until_closed(socket: &mut TcpStream) {
    let mut rest = [0; 4096];
    while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
}

/// Bounds a wait for an event, so that a lost one fails the test and does not hang it.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), event).await.expect("the event came")
}

/// Listens where nobody may connect.
pub(crate) struct Canary(TcpListener);

impl Canary {
    pub(crate) async fn at(address: &str) -> Self {
        Self(TcpListener::bind(address).await.unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Fails if anybody connected before this: the first connection in the queue must be our own.
    pub(crate) async fn saw_nobody(&self) {
        let ours = TcpStream::connect(self.address()).await.unwrap();
        let (_, first) = soon(self.0.accept()).await.unwrap();
        assert_eq!(first, ours.local_addr().unwrap(), "somebody connected to the canary");
    }
}

/// Answers lookups by a function of the name and of how often it was asked.
pub(crate) struct Scripted<F> {
    asked: AtomicUsize,
    script: F,
}

impl<F: Fn(&str, usize) -> Vec<&'static str> + Send + Sync + 'static> Scripted<F> {
    pub(crate) fn new(script: F) -> Arc<Self> {
        Arc::new(Self { asked: AtomicUsize::new(0), script })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl<F: Fn(&str, usize) -> Vec<&'static str> + Send + Sync + 'static> Lookup for Scripted<F> {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok((self.script)(name, turn).into_iter().map(|text| text.parse().unwrap()).collect())
    }
}

/// A policy that allows these ranges.
pub(crate) fn allowing(ranges: &[&str]) -> EgressPolicy {
    EgressPolicy::new(ranges.iter().map(|range| range.parse().unwrap()).collect())
}

/// A client that may reach loopback.
pub(crate) fn client() -> EgressClient {
    EgressClient::new(allowing(&["127.0.0.0/8", "::1/128"])).unwrap()
}

/// A `GET` without more.
pub(crate) async fn get(client: &EgressClient, url: &str) -> Result<EgressAnswer, CallError> {
    get_within(client, url, EgressLimits::default()).await
}

pub(crate) async fn get_within(
    client: &EgressClient,
    url: &str,
    limits: EgressLimits,
) -> Result<EgressAnswer, CallError> {
    // A guard that fails may connect to somebody who never answers.
    soon(client.send(Method::GET, url.parse().unwrap(), HeaderMap::new(), Bytes::new(), limits)).await
}
