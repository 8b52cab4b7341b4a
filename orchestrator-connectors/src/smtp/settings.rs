//! The settings of an `smtp` connector.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Host;

use super::input::mailbox;
use crate::egress::{TlsTrust, TlsTrustError};

/// The server, and how it is spoken to. Holds no secret: `username` and `password` fill slots.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SmtpSettings", extend("examples" = [
    {"host": "smtp.mail.example", "tls": "starttls", "from": "Shop <shop@shop.example>"}
]))]
pub(super) struct SettingsDocument {
    /// The server's name or address.
    #[schemars(length(min = 1, max = 253))]
    host: String,
    /// Its port. If absent: 465 with `tls`, 587 with `starttls`, 25 with `none`.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    tls: Protection,
    /// The sender of messages that name none: `a@b.example` or `Name <a@b.example>`.
    #[schemars(length(max = 320))]
    from: Option<String>,
    /// How this client introduces itself (`EHLO`). If absent: the domain of `from`, else `localhost`.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"))]
    hello_name: Option<String>,
    /// Connections at once. 4 if absent.
    #[serde(default = "pool_size")]
    #[schemars(range(min = 1, max = 32))]
    pool_size: u32,
    /// How long making a connection may take, TLS and login included, in milliseconds. 10,000 if absent.
    #[serde(default = "connect_timeout")]
    #[schemars(range(min = 100, max = 120_000))]
    connect_timeout_ms: u32,
    /// How long each answer of the server is waited for, in milliseconds. 60,000 if absent. The policy's own timeouts end
    /// a call before, if they are shorter.
    #[serde(default = "reply_timeout")]
    #[schemars(range(min = 100, max = 600_000))]
    reply_timeout_ms: u32,
    /// A larger message is refused: its size as it is sent, in bytes. 25 MiB if absent.
    #[serde(default = "max_message")]
    #[schemars(range(min = 1, max = 67_108_864))]
    max_message_bytes: u32,
    /// Whether the server drops a message whose `Message-ID` it has had before. If so, `send` counts as idempotent: each
    /// attempt of a call carries the same.
    #[serde(default)]
    dedupes_by_message_id: bool,
    /// Certificates in PEM that are believed besides the system's own.
    #[schemars(length(max = 65_536))]
    ca_certificates: Option<String>,
}

fn pool_size() -> u32 {
    4
}

fn connect_timeout() -> u32 {
    10_000
}

fn reply_timeout() -> u32 {
    60_000
}

fn max_message() -> u32 {
    25 << 20
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protection {
    /// TLS from the first byte.
    #[default]
    Tls,
    /// In clear until `STARTTLS`, which the server must offer.
    Starttls,
    /// In clear. Only to addresses that are not of the public internet.
    None,
}

/// The settings, sound.
#[derive(Debug)]
pub(super) struct SmtpSettings {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) tls: Protection,
    pub(super) trust: Option<TlsTrust>,
    pub(super) from: Option<Mailbox>,
    pub(super) hello: ClientId,
    pub(super) pool_size: usize,
    pub(super) connect_timeout: Duration,
    pub(super) reply_timeout: Duration,
    pub(super) max_message_bytes: usize,
    pub(super) dedupes: bool,
}

impl SmtpSettings {
    /// Reads settings that match their schema. `system` gives the trust in the system's certificates, made once.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn read(
        document: SettingsDocument,
        system: impl FnOnce() -> Result<TlsTrust, TlsTrustError>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut problems = Vec::new();
        let host = Host::parse(&document.host);
        let host =
            host.map_err(|_| problems.push(FieldError::new("/host", "this is not the name or address of a host")));
        let from = document
            .from
            .map(|text| mailbox(&text).map_err(|problem| problems.push(FieldError::new("/from", problem))).ok());
        let from = from.flatten();
        let trust = match (document.tls, &document.ca_certificates) {
            (Protection::None, None) => Ok(None),
            (_, None) => system().map(Some),
            (_, Some(pem)) => TlsTrust::new(Some(pem)).map(Some),
        };
        let trust = trust.map_err(|problem| {
            let place = if document.ca_certificates.is_some() { "/ca_certificates" } else { "/tls" };
            problems.push(FieldError::new(place, problem.to_string()));
        });
        let domain =
            from.as_ref().map(|from: &Mailbox| from.email.domain().to_owned()).filter(|domain| domain.is_ascii());
        let hello = document.hello_name.or(domain).unwrap_or_else(|| "localhost".to_owned());
        let (Ok(host), Ok(trust), true) = (host, trust, problems.is_empty()) else { return Err(problems) };
        let default_port = match document.tls {
            Protection::Tls => 465,
            Protection::Starttls => 587,
            Protection::None => 25,
        };
        Ok(Self {
            host,
            port: document.port.unwrap_or(default_port),
            tls: document.tls,
            trust,
            from,
            hello: ClientId::Domain(hello),
            pool_size: document.pool_size as usize,
            connect_timeout: Duration::from_millis(document.connect_timeout_ms.into()),
            reply_timeout: Duration::from_millis(document.reply_timeout_ms.into()),
            max_message_bytes: document.max_message_bytes as usize,
            dedupes: document.dedupes_by_message_id,
        })
    }
}
