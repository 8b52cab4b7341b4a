//! The settings of an `http` connector.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use orchestrator_types::{FieldError, Name};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::access::{OAuth2Document, SigningDocument, TlsDocument, connections};
use super::body::BodyKind;
use super::connections::ConnectionSettings;
use super::headers::{By, read, read_credential_name, read_key_name};
use super::oauth2::TokenRequest;
use super::operation::{InputSchema, NamedOperation, OperationDocument};
use super::path::{BaseUrl, check_path};
use super::shape::{Given, Shape, pointer};
use super::signing::Signing;
use super::template::PathTemplate;
use crate::egress::DEFAULT_BODY_BYTES;

/// Where the calls go, and what each of them carries. Holds no secret: those fill slots.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpSettings", extend("required" = ["base_url"]))]
pub(super) struct SettingsDocument {
    /// The URL that every call lies under: `http` or `https`, without user, query or fragment.
    #[serde(default)]
    base_url: Given<String>,
    /// Headers of every call. No credentials.
    #[serde(default)]
    headers: Given<BTreeMap<String, String>>,
    /// The header that carries the secret of the slot `header`, as `X-Api-Key`.
    #[serde(default)]
    header_name: Given<String>,
    /// The header under which the upstream honours idempotency keys, as `Idempotency-Key`. If it is given, each call
    /// carries its execution's or job's id there, and counts as idempotent.
    #[serde(default)]
    idempotency_header: Given<String>,
    /// A larger answer fails the call. 8 MiB if absent.
    #[serde(default)]
    // JSON Schema takes 1000.0 for an integer; so must this.
    #[schemars(with = "u32", range(min = 1, max = 67_108_864))]
    max_response_bytes: Given<f64>,
    /// Where the operation `webhook` posts events to: a path below the base URL.
    #[serde(default)]
    webhook_path: Given<String>,
    /// Asked with `GET` when the connector is checked; a 2xx is well. A path below the base URL. If absent, there is no
    /// check.
    #[serde(default)]
    health_path: Given<String>,
    /// Access tokens by OAuth 2.0 client credentials.
    #[serde(default)]
    oauth2: Given<OAuth2Document>,
    /// Requests are signed by HMAC.
    #[serde(default)]
    signing: Given<SigningDocument>,
    /// How connections are made.
    #[serde(default)]
    tls: Given<TlsDocument>,
    /// The proxy that every connection goes through: `http` or `https`, a host and a port. The slot `proxy` holds its
    /// `user:password`. There is no other way to set one.
    #[serde(default)]
    proxy: Given<String>,
    /// Operations by name, beside `request` and `webhook`.
    #[serde(default)]
    #[schemars(length(max = 256))]
    operations: Given<BTreeMap<String, OperationDocument>>,
}

/// The settings, sound.
#[derive(Debug)]
pub(super) struct HttpSettings {
    pub(super) base: BaseUrl,
    pub(super) headers: HeaderMap,
    pub(super) header_name: Option<HeaderName>,
    pub(super) idempotency_header: Option<HeaderName>,
    pub(super) max_response_bytes: usize,
    pub(super) webhook_path: Option<String>,
    pub(super) health_path: Option<String>,
    pub(super) oauth2: Option<TokenRequest>,
    pub(super) signing: Option<Signing>,
    pub(super) connections: ConnectionSettings,
    pub(super) operations: BTreeMap<String, NamedOperation>,
}

impl HttpSettings {
    /// Reads settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn read(shape: &Shape, settings: &Value) -> Result<Self, Vec<FieldError>> {
        let (document, problems) = shape.read::<SettingsDocument>(settings);
        let mut found = Found(problems);
        let base = document.base_url.0.and_then(|text| found.base(&text));
        let headers = document.headers.0.map(|given| read(&given, "/headers", By::Settings));
        let headers = headers.and_then(|read| read.map_err(|problems| found.0.extend(problems)).ok());
        let header_name =
            document.header_name.0.and_then(|name| found.keep("/header_name", read_credential_name(&name)));
        let idempotency_header =
            document.idempotency_header.0.and_then(|name| found.keep("/idempotency_header", read_key_name(&name)));
        if header_name.is_some() && header_name == idempotency_header {
            found.add("/idempotency_header", "this header carries the secret of the slot `header`");
        }
        for (place, own) in [("/header_name", &header_name), ("/idempotency_header", &idempotency_header)] {
            if own.as_ref().is_some_and(|own| headers.as_ref().is_some_and(|headers| headers.contains_key(own))) {
                found.add(place, "this header is also in `headers`");
            }
        }
        let webhook_path = found.path("/webhook_path", base.as_ref(), document.webhook_path.0);
        let health_path = found.path("/health_path", base.as_ref(), document.health_path.0);
        let oauth2 = document.oauth2.0.and_then(|given| found.all(given.read("/oauth2")));
        let signing = document.signing.0.and_then(|given| found.all(given.read("/signing")));
        if let Some(signing) = &signing {
            found.signing(signing, headers.as_ref(), [header_name.as_ref(), idempotency_header.as_ref()]);
        }
        let connections = found.all(connections(document.tls.0, document.proxy.0)).unwrap_or_default();
        let operations = document.operations.0.unwrap_or_default();
        let operations =
            operations.into_iter().filter_map(|(name, document)| found.operation(name, document)).collect();
        match base {
            Some(base) if found.0.is_empty() => Ok(Self {
                base,
                headers: headers.unwrap_or_default(),
                header_name,
                idempotency_header,
                max_response_bytes: document.max_response_bytes.0.map_or(DEFAULT_BODY_BYTES, |bytes| bytes as usize),
                webhook_path,
                health_path,
                oauth2,
                signing,
                connections,
                operations,
            }),
            _ => {
                found.keep_any();
                Err(found.0)
            }
        }
    }
}

/// The problems found so far.
struct Found(Vec<FieldError>);

impl Found {
    fn add(&mut self, place: &str, problem: &str) {
        self.0.push(FieldError::new(place, problem));
    }

    fn keep<T>(&mut self, place: &str, outcome: Result<T, &'static str>) -> Option<T> {
        outcome.map_err(|problem| self.add(place, problem)).ok()
    }

    /// The same, for a place that may have been complained about.
    fn keep_once<T>(&mut self, place: &str, outcome: Result<T, &'static str>) -> Option<T> {
        if self.0.iter().any(|known| known.pointer == place) { outcome.ok() } else { self.keep(place, outcome) }
    }

    /// What was read, or all that is wrong with it.
    fn all<T>(&mut self, outcome: Result<T, Vec<FieldError>>) -> Option<T> {
        outcome.map_err(|problems| self.0.extend(problems)).ok()
    }

    /// The headers of a signature are its own.
    fn signing(&mut self, signing: &Signing, fixed: Option<&HeaderMap>, named: [Option<&HeaderName>; 2]) {
        let places = [
            ("/signing/header", Some(&signing.header)),
            ("/signing/timestamp_header", signing.timestamp_header.as_ref()),
        ];
        for (place, own) in places {
            let Some(own) = own else { continue };
            if named.contains(&Some(own)) || fixed.is_some_and(|fixed| fixed.contains_key(own)) {
                self.add(place, "this header is also set by another setting");
            }
        }
    }

    /// Refusals say why, also where schema and types should ever differ.
    fn keep_any(&mut self) {
        if self.0.is_empty() {
            self.add("", "these are not settings of an `http` connector");
        }
    }

    fn base(&mut self, text: &str) -> Option<BaseUrl> {
        BaseUrl::parse(text)
            .map_err(|problems| problems.into_iter().for_each(|problem| self.add("/base_url", problem)))
            .ok()
    }

    /// A path below the base, with or without a query.
    fn path(&mut self, place: &str, base: Option<&BaseUrl>, path: Option<String>) -> Option<String> {
        let path = path?;
        self.keep(place, check_path(path.split('?').next().unwrap_or_default()));
        if let Some(base) = base {
            self.keep_once(place, base.join(&path));
        }
        Some(path)
    }

    fn operation(&mut self, name: String, document: OperationDocument) -> Option<(String, NamedOperation)> {
        let place = pointer("/operations", &name);
        if let Err(problem) = name.parse::<Name>() {
            self.add(&place, &problem.to_string());
        }
        if matches!(name.as_str(), "request" | "webhook") {
            self.add(&place, "this operation is there already");
        }
        let at = |member: &str| pointer(&place, member);
        let path = document.path.0.and_then(|path| self.keep(&at("path"), PathTemplate::parse(&path)));
        let schema = document.input_schema.0;
        let input = schema.and_then(|schema| self.keep(&at("input_schema"), InputSchema::compile(schema)));
        let body = document.body.0;
        if input.is_some() && matches!(body, Some(BodyKind::Text | BodyKind::Bytes | BodyKind::Multipart)) {
            self.add(&at("body"), "the fields of an input go into `json`, `form` or `query`");
        }
        let paging = document.paginate.0.and_then(|paging| self.all(paging.read(&at("paginate"))));
        let (method, path) = (document.method.0?, path?);
        if paging.is_some() && !method.is_get() {
            self.add(&at("paginate"), "pages are read with `GET`");
        }
        let (description, idempotent) = (document.description.0, document.idempotent.0);
        Some((name, NamedOperation { description, method, path, idempotent, body, input, paging }))
    }
}
