//! The server itself, and what a test says to it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use orchestrator_types::{EventId, EventType, JobId, JobView, Name, NameError, ProductConfig, TraceId, WorkspaceId};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::deliveries::{Delivery, Target};
use super::outcome::Outcome;
use super::record::{MockCall, MockRequest};
use super::routes;
use super::state::{Line, Shared};
use super::webhooks::Webhook;
use crate::callback::{CallbackError, CallbackSecret};
use crate::client::Client;
use crate::code::ErrorCode;
use crate::error::Error;

/// A server on a free port of the loopback, as long as it is kept.
pub struct MockServer {
    url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl MockServer {
    /// Starts a server of the workspace `mock-dev`, on a free port of the loopback. It runs on the runtime of the caller.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> io::Result<Self> {
        let workspace = "mock-dev".parse().map_err(|error: NameError| io::Error::other(error))?;
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), workspace).await
    }

    /// Starts a server of `workspace` at `address`.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start_on(address: SocketAddr, workspace: WorkspaceId) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::new(workspace, http().map_err(io::Error::other)?));
        let state = Arc::clone(&shared);
        let router = Router::new().fallback(move |request| routes::answer(Arc::clone(&state), request));
        let serving = tokio::spawn(async move {
            // It ends when the server is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, shared, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of it. It takes any token.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`](crate::ClientBuilder::build).
    pub fn client(&self) -> Result<Client, Error> {
        Client::new(&self.url, "mock-token")
    }

    /// Begins the script of an operation, in place of an earlier one. Until it has one the operation is unknown.
    pub fn when(&self, connector: &str, operation: &str) -> Script<'_> {
        let key = (connector.to_owned(), operation.to_owned());
        self.shared.change(|state| state.scripts.insert(key.clone(), VecDeque::new()));
        Script { server: self, key }
    }

    /// Every call of an operation so far, in order; attempts of jobs among them.
    #[must_use]
    pub fn calls(&self, connector: &str, operation: &str) -> Vec<MockCall> {
        let state = self.shared.state();
        let of = |call: &&MockCall| call.connector.as_str() == connector && call.operation == operation;
        state.calls.iter().filter(of).cloned().collect()
    }

    /// Every request so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<MockRequest> {
        self.shared.state().requests.clone()
    }

    /// The next requests, one for each of `codes`, are refused with it, whatever they ask for.
    pub fn refuse_next(&self, codes: impl IntoIterator<Item = ErrorCode>) {
        self.shared.change(|state| state.failures.extend(codes));
    }

    /// From now on jobs wait until [`run_job`](Self::run_job).
    pub fn hold_jobs(&self) {
        self.shared.change(|state| state.held = true);
    }

    /// Runs a job that is held or waits for its time. Whether there was one.
    pub fn run_job(&self, id: JobId) -> bool {
        self.shared.start(id)
    }

    /// A job as it stands.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<JobView> {
        self.shared.state().jobs.get(&id).map(|job| job.view.clone())
    }

    /// Waits until jobs and deliveries have ended by themselves.
    pub async fn settled(&self) {
        let mut changes = self.shared.changes();
        while self.shared.state().under_way > 0 && changes.changed().await.is_ok() {}
    }

    /// Callbacks of this name go to `url`, signed with `secret` (`whsec_` and base64).
    ///
    /// # Errors
    /// [`CallbackError::Secret`] if it is not a secret.
    pub fn callback(&self, name: &str, url: &str, secret: &str) -> Result<(), CallbackError> {
        self.callback_signed(name, url, &[secret])
    }

    /// The same with several active secrets, as while one is rotated.
    ///
    /// # Errors
    /// As [`callback`](Self::callback).
    pub fn callback_signed(&self, name: &str, url: &str, secrets: &[&str]) -> Result<(), CallbackError> {
        let secrets: Result<Vec<CallbackSecret>, _> = secrets.iter().map(|secret| secret.parse()).collect();
        let target = Target { url: url.to_owned(), secrets: secrets? };
        if let Ok(name) = name.parse() {
            self.shared.change(|state| state.callbacks.insert(name, target));
        }
        Ok(())
    }

    /// Webhooks of `provider` go to `callback`.
    pub fn webhook_route(&self, provider: &str, callback: &str) {
        if let (Ok(provider), Ok(callback)) = (provider.parse::<Name>(), callback.parse::<Name>()) {
            self.shared.change(|state| state.routes.insert(provider, callback));
        }
    }

    /// A webhook came in and was verified: delivers it, and gives the delivery when the product has taken it or it is given up.
    /// `None` if it is a duplicate, or [`webhook_route`](Self::webhook_route) names no callback for the provider.
    pub async fn receive(&self, provider: &str, webhook: Webhook) -> Option<Delivery> {
        self.shared.receive(&provider.parse().ok()?, webhook).await
    }

    /// Sends a delivery again, with its id and its bytes: products have to deduplicate it.
    pub async fn redeliver(&self, delivery: &Delivery) -> Delivery {
        self.shared.send(Delivery { statuses: Vec::new(), ..delivery.clone() }).await
    }

    /// Every delivery so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.state().deliveries.clone()
    }

    /// Appends an event to the workspace's stream.
    pub fn emit(&self, kind: EventType, subject: &str, data: Value) -> EventId {
        self.shared.emit(kind, subject, TraceId::new(), data)
    }

    /// Ends every open event stream, as a server that drains does.
    pub fn break_streams(&self) {
        self.shared.change(|state| state.stream_epoch += 1);
    }

    /// The product's own documents, as the next config version.
    pub fn set_config(&self, settings: BTreeMap<String, Value>) {
        self.shared.change(|state| {
            let version = state.config.as_ref().map_or(1, |config| config.version + 1);
            state.config = Some(ProductConfig { version, settings });
        });
    }

    /// Keeps a payload; gives what an output that was too large for its answer is instead: `{"payload_ref": {…}}`.
    pub fn payload(&self, content_type: &str, bytes: impl Into<Bytes>) -> Value {
        json!({ "payload_ref": self.shared.keep(content_type, bytes.into()) })
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl fmt::Debug for MockServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MockServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The script of an operation: its lines are said in order, the last one again and again. A job takes as many lines as it has
/// attempts.
pub struct Script<'a> {
    server: &'a MockServer,
    key: (String, String),
}

impl Script<'_> {
    /// Then the call comes to this: an output, an [`ErrorCode`], or an [`Outcome`] of more detail.
    pub fn then(self, outcome: impl Into<Outcome>) -> Self {
        self.line(Line::Outcome(outcome.into()))
    }

    /// Then it comes to what the function makes of the call.
    pub fn then_with(self, outcome: impl Fn(&MockCall) -> Outcome + Send + Sync + 'static) -> Self {
        self.line(Line::With(Arc::new(outcome)))
    }

    fn line(self, line: Line) -> Self {
        self.server.shared.change(|state| state.scripts.entry(self.key.clone()).or_default().push_back(line));
        self
    }
}

impl fmt::Debug for Script<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Script").field(&self.key).finish()
    }
}

#[allow(clippy::disallowed_methods, reason = "it calls the product under test, on an address that the test gave")]
fn http() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()
}
