//! No secret leaks: canaries of every kind go through a whole install, whose upstreams echo them in every form, and are
//! then looked for everywhere that the install writes or answers.
//!
//! Who searches must find: in each place each canary is planted first, in each form, and found.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::{Value, json};

use crate::kit::{Install, Server, finish, get};

const FORGED: &str = "forged credential";

/// A secret that must not be found.
struct Canary {
    kind: &'static str,
    value: String,
}

/// The secret in the forms that it is looked for in.
fn forms(value: &str) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let bytes = value.as_bytes();
    // In base64 the letters depend on where the secret begins: three ways, without the letters that depend on what is around.
    let shifted = |encode: &dyn Fn(&[u8]) -> String| -> Vec<Vec<u8>> {
        (0..3)
            .map(|before| {
                let text = encode(&[&vec![b' '; before][..], bytes].concat());
                let (cut, end) = ([0, 2, 3][before], usize::from(!(bytes.len() + before).is_multiple_of(3)));
                text.as_bytes()[cut..text.len() - end].to_vec()
            })
            .collect()
    };
    let escaped = serde_json::to_string(value).unwrap();
    let url: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let twice = serde_json::to_string(&escaped[1..escaped.len() - 1]).unwrap();
    vec![
        ("raw", vec![bytes.to_vec()]),
        ("base64", shifted(&|bytes| BASE64_NOPAD.encode(bytes))),
        ("base64url", shifted(&|bytes| BASE64URL_NOPAD.encode(bytes))),
        ("hex", vec![HEXLOWER.encode(bytes).into_bytes(), HEXUPPER.encode(bytes).into_bytes()]),
        ("url", vec![url.clone().into_bytes(), url.replace('+', "%20").to_lowercase().into_bytes()]),
        (
            "json",
            vec![escaped.as_bytes()[1..escaped.len() - 1].to_vec(), twice.as_bytes()[1..twice.len() - 1].to_vec()],
        ),
    ]
}

/// Every form of every canary, looked for in one go.
struct Search {
    needles: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// By the first two bytes: which needles may begin there.
    begins: Vec<Vec<usize>>,
}

impl Search {
    fn of(canaries: &[Canary]) -> Self {
        let (mut needles, mut begins) = (Vec::new(), vec![Vec::new(); 1 << 16]);
        for canary in canaries {
            for (form, texts) in forms(&canary.value) {
                for needle in texts {
                    assert!(needle.len() >= 16, "{} as {form} is too short to be told from chance", canary.kind);
                    begins[usize::from(needle[0]) << 8 | usize::from(needle[1])].push(needles.len());
                    needles.push((canary.kind, form, needle));
                }
            }
        }
        Self { needles, begins }
    }

    /// Which needles are in the place, by their numbers.
    fn found(&self, place: &[u8]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for at in 1..place.len() {
            let begins = usize::from(place[at - 1]) << 8 | usize::from(place[at]);
            for needle in &self.begins[begins] {
                if place[at - 1..].starts_with(&self.needles[*needle].2) {
                    found.insert(*needle);
                }
            }
        }
        found
    }
}

/// An upstream or vault that answers each request by a function of its head.
fn answering(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || hear(stream, answer.as_ref()));
        }
    });
    url
}

fn hear(mut stream: TcpStream, answer: &dyn Fn(&str) -> (u16, String)) {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_ok() {
        let (status, body) = answer(&head);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes()).ok();
    }
}

/// Echoes the credential that it was called with, in every form: an error of the kind that is shown to callers.
fn echo(head: &str) -> (u16, String) {
    let header = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    });
    let credential = header.unwrap_or_default().replace("Bearer ", "");
    let mut body = serde_json::Map::new();
    for (form, needles) in forms(&credential) {
        let texts: Vec<String> = needles.iter().map(|needle| String::from_utf8(needle.clone()).unwrap()).collect();
        body.insert(form.to_owned(), json!(texts));
    }
    body.insert("sentence".to_owned(), json!(format!("the token {credential} is not good")));
    let status = if head.starts_with("GET /fine") { 200 } else { 500 };
    (status, Value::Object(body).to_string())
}

/// Every file below a folder.
fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), into);
        } else if entry.file_name() != "kek" && entry.file_name() != "lock" {
            into.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
}

fn random(kind: &str) -> String {
    // Signs that each form writes its own way, and that a header can carry.
    format!("cnry+{kind}/{:032x}=\"\\&%~", fastrand::u128(..))
}

/// A vault that knows one secret, to one token.
fn vault(token: String, secret: String) -> String {
    answering(move |head| {
        if !head.contains(&token) {
            return (403, json!({"errors": ["permission denied"]}).to_string());
        }
        if head.starts_with("GET /v1/auth/token/lookup-self") {
            return (200, json!({"data": {"ttl": 3600, "renewable": false}}).to_string());
        }
        let data = json!({"data": {"key": secret}, "metadata": {"version": 1}});
        (200, json!({"data": data}).to_string())
    })
}

/// Calls everything that answers something, and keeps it.
struct Answers<'a> {
    server: &'a Server<'a>,
    kept: Mutex<String>,
}

impl Answers<'_> {
    fn keep(&self, text: &str) {
        self.kept.lock().unwrap().push_str(text);
    }

    fn run(&self, arguments: &[&str]) {
        for output in ["text", "json"] {
            let done = finish(self.server.command(&[arguments, &["--output", output]].concat()));
            self.keep(&done.out);
            self.keep(&done.err);
        }
    }

    fn product(&self, arguments: &[&str]) -> String {
        let done = finish(self.server.product("shop-dev", arguments));
        self.keep(&done.out);
        self.keep(&done.err);
        done.out
    }
}

#[test]
fn inv_23_no_canary_is_found_anywhere_and_every_planted_one_is() {
    let install = Install::new();
    let token = format!("cnry-vault-token-{:032x}", fastrand::u128(..));
    let [stored, env, file, of_vault] = ["stored", "env", "file", "vault"].map(random);
    let signing = format!("whsec_{}", data_encoding::BASE64.encode(format!("{:032x}", fastrand::u128(..)).as_bytes()));
    let stripe = format!("whsec_{:032x}", fastrand::u128(..));
    let next = format!("whsec_{}", data_encoding::BASE64.encode(format!("{:032x}", fastrand::u128(..)).as_bytes()));
    let [password, in_clear, forged] =
        ["password", "clear", "forged"].map(|kind| format!("cnry{kind}{:032x}", fastrand::u128(..)));

    fs::create_dir_all(install.path("secrets/shop-dev")).unwrap();
    fs::write(install.path("secrets/shop-dev/key"), &file).unwrap();
    let token_file = install.write("vault-token", &token);
    let mut command = install.command(&["serve"]);
    command
        .env("RUST_LOG", "trace")
        .env("SHOP_DEV_TOKEN", &env)
        .env("ORCHESTRATOR__SECRETS__DIR", install.path("secrets"))
        .env("ORCHESTRATOR__SECRETS__VAULT_URL", vault(token.clone(), of_vault.clone()))
        .env("ORCHESTRATOR__SECRETS__VAULT_TOKEN_FILE", &token_file);
    let server = install.serve_by(command);
    let answers = Answers { server: &server, kept: Mutex::default() };

    // A workspace with a connector for each source, whose upstream echoes what it was sent.
    let (upstream, product) = (answering(echo), answering(|_| (500, json!({"error": "no"}).to_string())));
    let mut config = format!(
        "  policies: {{default: {{job_retry: {{max_attempts: 1, initial_ms: 10, max_ms: 10, multiplier: 1.0, jitter: none}}}}}}\n  secret_refs:\n    \
         stored: {{source: stored, name: stored}}\n    env: {{source: env, key: SHOP_DEV_TOKEN}}\n    file: {{source: file, path: key}}\n    \
         vault: {{source: vault, path: kv/data/shop, field: key}}\n    gone: {{source: file, path: gone}}\n    cb: {{source: stored, name: cb}}\n    \
         stripe: {{source: stored, name: stripe}}\n  callbacks:\n    billing: {{url: '{product}/hook', signing_secret: cb}}\n  \
         webhook_routes:\n    main: {{provider: stripe, account: acct_7, signing_secret: stripe, callback: billing}}\n  connectors:\n"
    );
    for source in ["stored", "env", "file", "vault"] {
        config.push_str(&format!(
            "    {source}: {{kind: http, settings: {{base_url: '{upstream}'}}, secrets: {{bearer: {source}}}}}\n"
        ));
    }
    server.apply("shop-dev", &config);
    for (name, value) in [("stored", &stored), ("cb", &signing), ("stripe", &stripe)] {
        let set = server.fed(&["secret", "set", "shop-dev", name], value);
        answers.keep(&(set.err.clone() + &set.well()));
    }
    let made = server.json(&["identity", "create", "shop-dev", "svc:billing", "--scope", "orchestrator.execute"]);
    let client_secret = made["client_secret"].as_str().unwrap().to_owned();
    let exec = install.mint(&[
        "--aud",
        "orchestrator-exec",
        "--sub",
        "svc:x",
        "--workspace",
        "shop-dev",
        "--scope",
        "orchestrator.execute",
    ]);

    // Calls, jobs, webhooks good and bad, rotations, and configs that are refused for what they hold.
    for source in ["stored", "env", "file", "vault"] {
        for path in ["/fine", "/fails"] {
            let input = json!({"method": "GET", "path": path}).to_string();
            let answer = answers.product(&[
                "jobs",
                "submit",
                "--connector",
                source,
                "--operation",
                "request",
                "--input",
                &input,
                "--callback",
                "billing",
            ]);
            let id = answer.split_whitespace().find(|word| word.starts_with("job_")).map(str::to_owned);
            if let Some(id) = id {
                answers.product(&["jobs", "watch", &id]);
            }
            let body = json!({"connector": source, "operation": "request", "input": {"method": "GET", "path": path}});
            answers.keep(&post(&server.url, "/execute", &exec, &body));
        }
    }
    for secret in [&stripe, &forged] {
        let mut send = server.command(&[
            "webhook",
            "send",
            "stripe",
            "--workspace",
            "shop-dev",
            "--secret-env",
            "SIGNING",
            "--fixture",
            "invoice.paid",
            "--event-id",
            "evt_1",
        ]);
        send.env("SIGNING", secret);
        let sent = finish(send);
        answers.keep(&(sent.out + &sent.err));
    }
    let rotated = server.fed(&["secret", "rotate", "shop-dev", "cb"], &next);
    answers.keep(&(rotated.err.clone() + &rotated.well()));
    answers.run(&["secret", "rotate-kek", "--reason", "canary"]);
    for settings in [
        json!({"base_url": format!("https://u:{password}@h.example")}),
        json!({"base_url": upstream, "api_key": in_clear}),
    ] {
        let body = json!({"kind": "http", "settings": settings});
        answers.keep(&call("PUT", &server.url, "/workspaces/shop-dev/connectors/x", &server.token, &body));
    }
    answers.keep(&post(&server.url, "/execute", &forged, &json!({})));
    answers.keep(&post(&server.url, "/execute", &exec, &json!({"connector": forged})));
    let form = format!("grant_type=client_credentials&client_id=svc:billing&client_secret={forged}");
    answers.keep(&raw(&server.url, "POST /oauth/token", "content-type: application/x-www-form-urlencoded\r\n", &form));

    // Everything that can be read.
    for arguments in [
        &["secret", "list", "shop-dev"][..],
        &["secret", "versions", "shop-dev", "cb"],
        &["secret", "keys"],
        &["export", "shop-dev"],
        &["audit", "list", "shop-dev"],
        &["audit", "list"],
        &["inbox", "list", "shop-dev"],
        &["dlq", "list", "shop-dev"],
        &["identity", "list", "shop-dev"],
        &["workspace", "list"],
        &["doctor"],
    ] {
        answers.run(arguments);
    }
    for path in ["config", "configs", "requests?limit=500", "secrets", "inbox", "dlq", "audit", "identities", "bundle"]
    {
        answers.keep(&call("GET", &server.url, &format!("/workspaces/shop-dev/{path}"), &server.token, &Value::Null));
    }
    let reader = install.mint(&[
        "--aud",
        "orchestrator-exec",
        "--sub",
        "svc:x",
        "--workspace",
        "shop-dev",
        "--scope",
        "orchestrator.execute orchestrator.jobs.read orchestrator.events.read",
    ]);
    let mut events = String::new();
    for path in ["/events?limit=500", "/jobs", "/config"] {
        events.push_str(&call("GET", &server.url, path, &reader, &Value::Null));
    }
    let metrics = get(&server.ops, "/metrics").1;

    let mut canaries = vec![
        Canary { kind: "stored", value: stored },
        Canary { kind: "env", value: env },
        Canary { kind: "file", value: file },
        Canary { kind: "vault", value: of_vault },
        Canary { kind: "vault token", value: token },
        Canary { kind: "callback signing", value: signing[6..].to_owned() },
        Canary { kind: "next callback signing", value: next[6..].to_owned() },
        Canary { kind: "webhook signing", value: stripe },
        Canary { kind: "client secret", value: client_secret },
        Canary { kind: "admin token", value: server.token.clone() },
        Canary { kind: "exec token", value: exec },
        Canary { kind: "password in a URL", value: password },
        Canary { kind: "secret in clear", value: in_clear },
        Canary { kind: FORGED, value: forged },
    ];
    for line in fs::read_to_string(install.path("orchestrator-data/kek")).unwrap().lines() {
        canaries.push(Canary { kind: "install key", value: line.to_owned() });
    }
    let log = server.said();
    let mut places = vec![
        ("the answers".to_owned(), answers.kept.into_inner().unwrap().into_bytes()),
        ("the events".to_owned(), events.into_bytes()),
        ("the metrics".to_owned(), metrics.into_bytes()),
        ("the log".to_owned(), log.into_bytes()),
    ];
    drop(server);
    files(&install.path("orchestrator-data"), &mut places);

    // The search finds, in every place and form; and the places are those that hold what happened.
    let text = |at: usize| String::from_utf8_lossy(&places[at].1).into_owned();
    assert!(text(0).contains("[redacted]") && text(0).contains("SHOP_DEV_TOKEN"), "{}", text(0));
    assert!(text(1).contains("job.dead") && text(1).contains("webhook.received"), "{}", text(1));
    assert!(text(2).contains("orchestrator_secret_refs{status=\"missing\"}"), "{}", text(2));
    assert!(text(3).contains("\"TRACE\""));
    let files = places[4..].iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect::<String>();
    assert!(files.contains("secret.rotated") && files.contains("secret.rotate_kek"), "the store is among the files");
    let search = Search::of(&canaries);
    let planted: Vec<u8> = search.needles.iter().flat_map(|needle| [b"\n", &needle.2[..]].concat()).collect();
    let mut leaks = Vec::new();
    for (place, bytes) in &mut places {
        let end = bytes.len();
        bytes.extend_from_slice(&planted);
        assert_eq!(search.found(bytes).len(), search.needles.len(), "planted in {place} and not found");
        bytes.truncate(end);
        for (kind, form, _) in search.found(bytes).into_iter().map(|needle| &search.needles[needle]) {
            // What a caller calls a connector comes back to that caller.
            if !(*kind == FORGED && place == "the answers") {
                leaks.push(format!("{kind} as {form} in {place}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

fn post(url: &str, path: &str, token: &str, body: &Value) -> String {
    call("POST", url, path, token, body)
}

fn call(method: &str, url: &str, path: &str, token: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    raw(url, &format!("{method} {path}"), &headers, &body)
}

fn raw(url: &str, first: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    write!(
        stream,
        "{first} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
