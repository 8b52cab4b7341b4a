//! The `smtp` kind: against a mail server that is not ours, and against one that does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod delivery;
mod failures;
mod payloads;
mod protection;
#[path = "../servers/mod.rs"]
mod servers;
mod told;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use orchestrator_connectors::{EgressClient, EgressPolicy, SmtpKind};
use orchestrator_core::connector::{CallContext, CallError, Connector, ConnectorKind, SecretSlots, SecretSource};
use orchestrator_core::secrets::{Secret, SecretError};
use orchestrator_types::TraceId;
use serde_json::{Value, json};
use servers::Server;
use tempfile::TempDir;

const PACKAGES: &[&str] = &["aiosmtpd==1.4.6"];

/// A kind that may reach this machine.
fn kind() -> SmtpKind {
    let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    SmtpKind::new(EgressClient::new(policy).unwrap())
}

/// A mail server, and what a connector needs to speak to it.
struct MailServer {
    server: Server,
    port: u16,
    /// The CA of its certificate.
    ca: String,
    _folder: TempDir,
}

impl MailServer {
    async fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certified = certificate(&folder);
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let arguments = [mode, &path("cert.pem"), &path("key.pem")];
        let (server, ready) = Server::start(PACKAGES, "smtp/server.py", &arguments).await;
        let port = ready["port"].as_u64().unwrap().try_into().unwrap();
        Self { server, port, ca: certified, _folder: folder }
    }

    /// The next message that it took.
    async fn taken(&mut self) -> Value {
        self.server.next().await
    }

    fn settings(&self, tls: &str) -> Value {
        let mut settings = json!({"host": "localhost", "port": self.port, "tls": tls, "from": "Shop <shop@shop.test>"});
        if tls != "none" {
            settings["ca_certificates"] = json!(self.ca);
        }
        settings
    }
}

/// Writes certificate and key of `localhost`, signed by a CA whose certificate is returned.
fn certificate(folder: &TempDir) -> String {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.path().join("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    authority.pem()
}

/// What a slot holds; may be changed.
#[derive(Clone)]
struct Slot(Arc<Mutex<String>>);

#[async_trait]
impl SecretSource for Slot {
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError> {
        Ok(vec![Secret::new(self.0.lock().unwrap().clone())])
    }
}

fn slots(filled: &[(&str, &str)]) -> SecretSlots {
    let sources = filled.iter().map(|(slot, text)| {
        let source: Arc<dyn SecretSource> = Arc::new(Slot(Arc::new(Mutex::new((*text).to_owned()))));
        (slot.parse().unwrap(), source)
    });
    SecretSlots::new(sources.collect::<BTreeMap<_, _>>())
}

fn login() -> SecretSlots {
    slots(&[("username", "user"), ("password", "open sesame")])
}

fn connector(settings: &Value, slots: SecretSlots) -> Arc<dyn Connector> {
    kind().build(settings, slots).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn context(subject: &str) -> CallContext {
    CallContext::new("shop-dev".parse().unwrap(), "mail".parse().unwrap(), subject, TraceId::new())
}

async fn send(connector: &Arc<dyn Connector>, input: Value) -> Result<Value, CallError> {
    assert!(connector.plan("send", &input).is_ok(), "{:?}", connector.plan("send", &input));
    connector.call(&context("exe_1"), "send", &input).await
}

fn letter(to: &str) -> Value {
    json!({"to": [to], "subject": "Your order", "text": "It is on its way."})
}
