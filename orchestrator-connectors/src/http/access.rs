//! How a connector proves who it is, beside plain credentials: OAuth 2.0, signatures, certificates. As the settings say it.

use http::HeaderName;
use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::Deserialize;

use super::connections::{ConnectionSettings, endpoint, read_proxy};
use super::headers::read_credential_name;
use super::oauth2::TokenRequest;
use super::shape::{Given, pointer};
use super::signing::{Algorithm, Encoding, KeyEncoding, Pattern, Place, SIGNED, Signing, TimestampForm, VALUE};
use crate::egress::ca_certificates;

/// Access tokens by OAuth 2.0 client credentials. The slot `client_secret` holds the client's secret.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpOAuth2", extend("required" = ["token_url", "client_id"]))]
pub(super) struct OAuth2Document {
    /// Where tokens are got.
    #[serde(default)]
    token_url: Given<String>,
    /// The client's id.
    #[serde(default)]
    #[schemars(length(min = 1))]
    client_id: Given<String>,
    /// The scopes that are asked for, separated by spaces.
    #[serde(default)]
    scope: Given<String>,
    /// The audience that is asked for, where the server wants one.
    #[serde(default)]
    audience: Given<String>,
    /// Where the client's id and secret go: into a header (`basic`, if absent) or into the form (`post`).
    #[serde(default)]
    client_auth: Given<ClientAuth>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ClientAuth {
    Basic,
    Post,
}

/// Requests are signed by HMAC with the key in the slot `signing_key`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpSigning", extend("required" = ["header"]))]
pub(super) struct SigningDocument {
    /// The header that carries the signature.
    #[serde(default)]
    header: Given<String>,
    /// The hash. `sha256` if absent.
    #[serde(default)]
    algorithm: Given<Algorithm>,
    /// How the signature is written. `hex` if absent.
    #[serde(default)]
    encoding: Given<Encoding>,
    /// What the slot holds. `text` if absent.
    #[serde(default)]
    key_encoding: Given<KeyEncoding>,
    /// What is signed, of `{method}`, `{host}`, `{path}`, `{query}`, `{target}` (path and query), `{timestamp}`, `{body}`
    /// and `{body_sha256}` (in hex). `{body}` if absent.
    #[serde(default)]
    signed: Given<String>,
    /// What the header holds, of `{signature}` and `{timestamp}`, as `t={timestamp},v1={signature}`. `{signature}` if absent.
    #[serde(default)]
    value: Given<String>,
    /// How the time is written. `seconds` if absent.
    #[serde(default)]
    timestamp: Given<TimestampForm>,
    /// A header that carries the time, if one does.
    #[serde(default)]
    timestamp_header: Given<String>,
}

/// How connections are made. The slot `client_certificate` holds a certificate in PEM, with its key, or with the key in
/// the slot `client_key`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpTls")]
pub(super) struct TlsDocument {
    /// CA certificates in PEM. If given, these are trusted and no others.
    #[serde(default)]
    #[schemars(length(max = 65_536))]
    ca: Given<String>,
}

/// Problems below one place of the settings.
struct Below<'a> {
    place: &'a str,
    problems: Vec<FieldError>,
}

impl Below<'_> {
    fn keep<T>(&mut self, member: &str, outcome: Result<T, &'static str>) -> Option<T> {
        outcome.map_err(|problem| self.problems.push(FieldError::new(pointer(self.place, member), problem))).ok()
    }

    /// What was read, if all of it could be.
    fn done<T>(self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => Err(self.problems),
        }
    }
}

impl OAuth2Document {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, below `place`, beside what its schema tells.
    pub(super) fn read(self, place: &str) -> Result<TokenRequest, Vec<FieldError>> {
        let mut below = Below { place, problems: Vec::new() };
        let url = self.token_url.0.and_then(|text| below.keep("token_url", endpoint(&text)));
        let request = url.zip(self.client_id.0).map(|(url, client_id)| TokenRequest {
            url,
            client_id,
            scope: self.scope.0.filter(|scope| !scope.is_empty()),
            audience: self.audience.0.filter(|audience| !audience.is_empty()),
            in_form: self.client_auth.0 == Some(ClientAuth::Post),
        });
        below.done(request)
    }
}

impl SigningDocument {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, below `place`, beside what its schema tells.
    pub(super) fn read(self, place: &str) -> Result<Signing, Vec<FieldError>> {
        let mut below = Below { place, problems: Vec::new() };
        let header = self.header.0.and_then(|name| below.keep("header", read_credential_name(&name)));
        let timestamp_header: Option<HeaderName> =
            self.timestamp_header.0.and_then(|name| below.keep("timestamp_header", read_credential_name(&name)));
        if header.is_some() && header == timestamp_header {
            below.keep::<()>("timestamp_header", Err("this header carries the signature"));
        }
        let signed = self.signed.0.unwrap_or_else(|| "{body}".to_owned());
        let signed = below.keep("signed", Pattern::parse(&signed, SIGNED));
        let value = self.value.0.unwrap_or_else(|| "{signature}".to_owned());
        let value = below.keep("value", Pattern::parse(&value, VALUE)).filter(|value| {
            let told = value.has(Place::Signature);
            if !told {
                below.keep::<()>("value", Err("the header must hold `{signature}`"));
            }
            told
        });
        let read = header.zip(signed).zip(value).map(|((header, signed), value)| Signing {
            header,
            algorithm: self.algorithm.0.unwrap_or(Algorithm::Sha256),
            encoding: self.encoding.0.unwrap_or(Encoding::Hex),
            key_encoding: self.key_encoding.0.unwrap_or(KeyEncoding::Text),
            signed,
            value,
            timestamp: self.timestamp.0.unwrap_or(TimestampForm::Seconds),
            timestamp_header,
        });
        below.done(read)
    }
}

/// Reads how connections are made.
///
/// # Errors
/// What is wrong with it.
pub(super) fn connections(
    tls: Option<TlsDocument>,
    proxy: Option<String>,
) -> Result<ConnectionSettings, Vec<FieldError>> {
    let mut below = Below { place: "", problems: Vec::new() };
    let ca = tls.and_then(|tls| tls.ca.0).filter(|pem| {
        let sound = !pem.contains("PRIVATE KEY") && ca_certificates(pem).is_ok();
        if !sound {
            below.problems.push(FieldError::new("/tls/ca", "these are no certificates in PEM"));
        }
        sound
    });
    let proxy = proxy.and_then(|text| below.keep("proxy", read_proxy(&text)));
    below.done(Some(ConnectionSettings { ca, proxy }))
}
