//! The server is killed (-9) under load, again and again: nothing that it acknowledged is lost.
//!
//! A client keeps a journal of every id that it was given. After the last restart each job of the journal must end, each
//! webhook must be with the product, and the event stream must be whole. `KILLS` sets how often (25 if absent), `SEED`
//! repeats a run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, post};
use futures_util::StreamExt;
use orchestrator_client::{Client, EventQuery, Retry, WebhookOutcome};
use orchestrator_conformance::servers::free_port;
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_types::{Bundle, IdentityRequest, JobId, JobRequest, JobStatus, SecretRequest, scope};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const CALLBACK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STRIPE_SECRET: &str = "whsec_kills";
const WORKSPACE: &str = "kills-dev";

/// The server under test.
struct Server {
    folder: tempfile::TempDir,
    api: u16,
    ops: u16,
    /// Where the store is, if not in the folder.
    database: Option<String>,
    child: Option<Child>,
}

impl Server {
    fn new(database: Option<String>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), api: free_port(), ops: free_port(), database, child: None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ORCHESTRATOR__LISTEN__API", format!("127.0.0.1:{}", self.api))
            .env("ORCHESTRATOR__LISTEN__OPS", format!("127.0.0.1:{}", self.ops))
            .env("ORCHESTRATOR__EGRESS__ALLOW", "127.0.0.1/32")
            .env("RUST_LOG", "error");
        if let Some(url) = &self.database {
            // Here nobody knows that the former process is dead: its leases have to end.
            command.env("ORCHESTRATOR__STORE__URL", url).env("ORCHESTRATOR__WORKERS__LEASE_S", "3");
        }
        command
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    async fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = self.command().arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.child = Some(child);
        let client = Client::builder(&self.url())
            .ops_url(&format!("http://127.0.0.1:{}", self.ops))
            .retry(Retry::never())
            .build()
            .unwrap();
        for _ in 0..600 {
            if matches!(client.ready().await, Ok(true)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not become ready: {}", self.log());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // `kill` is SIGKILL: no handler runs.
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn admin_token(&self) -> String {
        let mint = [
            "token",
            "mint",
            "--aud",
            scope::AUDIENCE_CONTROL,
            "--sub",
            "kills",
            "--scope",
            scope::ADMIN,
            "--ttl",
            "3600",
        ];
        let output = self.command().args(mint).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the product received: by `webhook-id`, the bodies, and by inbox entry or job, the `webhook-id`s.
#[derive(Default)]
struct Product {
    bodies: BTreeMap<String, BTreeSet<Vec<u8>>>,
    ids: BTreeMap<String, BTreeSet<String>>,
}

type Shared = Arc<Mutex<Product>>;

async fn product(State(product): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let verifier = standardwebhooks::Webhook::new(CALLBACK_SECRET).unwrap();
    if verifier.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let webhook_id = headers["webhook-id"].to_str().unwrap().to_owned();
    let subject = serde_json::from_slice::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    let mut product = product.lock().unwrap();
    product.bodies.entry(webhook_id.clone()).or_default().insert(body.to_vec());
    product.ids.entry(subject).or_default().insert(webhook_id);
    // A product with a bad day now and then.
    if fastrand::u8(..) < 25 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}

async fn world() -> (String, Shared) {
    let shared = Shared::default();
    let app = Router::new()
        .route("/callback", post(product))
        .route("/up/{*rest}", any(|| async { axum::Json(json!({"ok": true})) }))
        .with_state(shared.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, shared)
}

async fn onboard(server: &Server, world: &str) -> (Client, Client) {
    let admin = Client::builder(&server.url()).token(server.admin_token()).build().unwrap();
    let bundle: Bundle = serde_json::from_value(json!({
        "format": 1, "workspace": WORKSPACE,
        "config": {
            "policies": {"default": {"job_retry": {"max_attempts": 20, "initial_ms": 10, "max_ms": 200}}},
            "connectors": {"up": {"kind": "http", "settings": {"base_url": format!("{world}/up")}}},
            "secret_refs": {"cb": {"source": "stored", "name": "cb"}, "whsec": {"source": "stored", "name": "whsec"}},
            "callbacks": {"product": {"url": format!("{world}/callback"), "signing_secret": "cb"}},
            "webhook_routes": {"stripe": {"provider": "stripe", "account": "acct_kills", "signing_secret": "whsec",
                "callback": "product"}},
        },
    }))
    .unwrap();
    let name = WORKSPACE.parse().unwrap();
    let workspace = admin.workspace(&name);
    workspace.import_bundle(&bundle, false).await.unwrap();
    for (name, value) in [("cb", CALLBACK_SECRET), ("whsec", STRIPE_SECRET)] {
        workspace.put_secret(&name.parse().unwrap(), &SecretRequest { value: value.to_owned() }).await.unwrap();
    }
    let request = IdentityRequest {
        name: "svc:kills".parse().unwrap(),
        scopes: scope::EXEC.iter().map(ToString::to_string).collect(),
        public_key: None,
    };
    let identity = workspace.create_identity(&request).await.unwrap();
    let exec = Client::builder(&server.url())
        .client_credentials(identity.client_id, identity.client_secret.unwrap())
        .build()
        .unwrap();
    (admin, exec)
}

/// What was acknowledged.
#[derive(Default)]
struct Journal {
    jobs: Vec<JobId>,
    webhooks: Vec<(String, String)>,
}

async fn load(exec: Client, journal: Arc<Mutex<Journal>>, stop: tokio_util::sync::CancellationToken) {
    let job: JobRequest = serde_json::from_value(json!({
        "connector": "up", "operation": "request", "input": {"method": "GET", "path": "/x"}, "callback": "product",
    }))
    .unwrap();
    let stripe = provider("stripe").unwrap();
    let mut number = 0u64;
    while !stop.is_cancelled() {
        number += 1;
        if let Ok(accepted) = exec.submit(&job).await {
            journal.lock().unwrap().jobs.push(accepted.id);
        }
        let event = format!("evt_{:016x}_{number}", fastrand::u64(..));
        let body = serde_json::to_vec(&json!({"id": event, "type": "invoice.paid", "account": "acct_kills"})).unwrap();
        let now = SystemClock.now();
        let headers = stripe.sign(&Fixture::new(&body, &event), &Secret::new(STRIPE_SECRET.to_owned()), now).unwrap();
        let answer = exec.send_webhook(&"stripe".parse().unwrap(), None, headers, Bytes::from(body)).await;
        if let Ok(answer) = answer
            && let WebhookOutcome::Accepted(accepted) = answer.outcome
        {
            journal.lock().unwrap().webhooks.push((event, accepted.id.to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_01_nothing_acknowledged_is_lost_however_often_the_server_is_killed() {
    killed_again_and_again(Server::new(None)).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_01_nothing_acknowledged_is_lost_on_postgres_however_often_the_server_is_killed() {
    let database = orchestrator_conformance::servers::postgres::fresh_database();
    killed_again_and_again(Server::new(Some(database))).await;
}

async fn killed_again_and_again(mut server: Server) {
    let kills: u32 = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25);
    let seed: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{kills} kills, SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (world, product) = world().await;
    server.start().await;
    let (admin, exec) = onboard(&server, &world).await;
    let journal = Arc::new(Mutex::new(Journal::default()));
    for _ in 0..kills {
        let stop = tokio_util::sync::CancellationToken::new();
        let loads: Vec<_> = (0..4).map(|_| tokio::spawn(load(exec.clone(), journal.clone(), stop.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(random.u64(30..400))).await;
        server.kill();
        stop.cancel();
        server.start().await;
        for load in loads {
            load.await.unwrap();
        }
    }
    let (jobs, webhooks) = {
        let journal = journal.lock().unwrap();
        (journal.jobs.clone(), journal.webhooks.clone())
    };
    assert!(
        jobs.len() > 20 && webhooks.len() > 20,
        "too little load: {} jobs, {} webhooks",
        jobs.len(),
        webhooks.len()
    );
    let mut ends = BTreeMap::new();
    for id in &jobs {
        let job = exec.wait_for_job(*id, Duration::from_secs(90)).await;
        let job = job.unwrap_or_else(|error| panic!("{id}: {error}\n{}", server.log()));
        assert!(matches!(job.status, JobStatus::Succeeded | JobStatus::Dead), "{job:?}");
        *ends.entry(job.status.as_str()).or_insert(0u32) += 1;
    }
    let given_up = delivered(&product, &admin, &webhooks).await;
    // A worker that was lost three times while a job ran gives it up. Where leases are void at a start, that is not to be seen.
    let most = if server.database.is_some() { webhooks.len() / 20 } else { 0 };
    assert!(given_up <= most, "{given_up} of {} webhooks were given up", webhooks.len());
    one_inbox_entry_each(&admin, &webhooks).await;
    gapless(&exec).await;
    let product = product.lock().unwrap();
    let twisted: Vec<_> = product.bodies.iter().filter(|(_, bodies)| bodies.len() > 1).collect();
    assert!(twisted.is_empty(), "a webhook-id with two bodies: {twisted:?}");
    let doubled: Vec<_> = product.ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(doubled.is_empty(), "one thing under two webhook-ids: {doubled:?}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
    eprintln!("{} jobs ended as {ends:?}; {} webhooks, {given_up} given up; 0 lost", jobs.len(), webhooks.len());
}

/// Each webhook of the journal reaches the product, or the dead letters; how many of the latter.
async fn delivered(product: &Shared, admin: &Client, webhooks: &[(String, String)]) -> usize {
    for _ in 0..900 {
        let dead: BTreeSet<String> = {
            let name = WORKSPACE.parse().unwrap();
            let letters = admin.workspace(&name).dlq().limit(500).items();
            letters.filter_map(async |letter| letter.unwrap().subject).collect().await
        };
        let missing: Vec<_> = {
            let product = product.lock().unwrap();
            webhooks.iter().filter(|(_, inbox)| !product.ids.contains_key(inbox)).collect()
        };
        if missing.iter().all(|(_, inbox)| dead.contains(inbox)) {
            return missing.len();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let product = product.lock().unwrap();
    let missing: Vec<_> = webhooks.iter().filter(|(_, inbox)| !product.ids.contains_key(inbox)).collect();
    panic!("{} webhooks never reached the product: {missing:?}", missing.len());
}

async fn one_inbox_entry_each(admin: &Client, webhooks: &[(String, String)]) {
    let name = WORKSPACE.parse().unwrap();
    let mut entries: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let mut list = admin.workspace(&name).inbox().limit(500);
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        let page = list.page().await.unwrap();
        for entry in page.items {
            entries.entry(entry.event_id).or_default().push(entry.id.to_string());
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for (event, inbox) in webhooks {
        assert_eq!(entries.get(event), Some(&vec![inbox.clone()]), "{event}");
    }
}

/// The events of the workspace are numbered without a hole.
async fn gapless(exec: &Client) {
    let (mut query, mut expected) = (EventQuery { limit: Some(500), ..EventQuery::default() }, 1);
    loop {
        let page = exec.events(&query).await.unwrap();
        for event in &page.items {
            assert_eq!(event.id.sequence(), expected, "a hole before {}", event.id);
            expected += 1;
        }
        match page.items.last() {
            Some(last) => query.after = Some(last.id),
            None => return,
        }
    }
}
