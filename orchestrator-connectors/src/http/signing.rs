//! Signing requests by HMAC, as the settings say: over what, in which header, in which form.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use orchestrator_core::secrets::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// The hash under the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Encoding {
    Hex,
    Base64,
    Base64url,
}

/// What the secret of the slot `signing_key` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyEncoding {
    /// The key itself.
    Text,
    /// The key in hex.
    Hex,
    /// The key in base64.
    Base64,
}

/// How the time of a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TimestampForm {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339, in UTC.
    Rfc3339,
}

/// How requests are signed.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    pub(super) header: HeaderName,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    pub(super) key_encoding: KeyEncoding,
    pub(super) signed: Pattern,
    pub(super) value: Pattern,
    pub(super) timestamp: TimestampForm,
    pub(super) timestamp_header: Option<HeaderName>,
}

/// A text with places that are filled for each request.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Place(Place),
}

/// What may stand in a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Method,
    Host,
    Path,
    Query,
    Target,
    Timestamp,
    Body,
    BodySha256,
    Signature,
}

impl Place {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "method" => Self::Method,
            "host" => Self::Host,
            "path" => Self::Path,
            "query" => Self::Query,
            "target" => Self::Target,
            "timestamp" => Self::Timestamp,
            "body" => Self::Body,
            "body_sha256" => Self::BodySha256,
            "signature" => Self::Signature,
            _ => return None,
        })
    }
}

impl Pattern {
    /// Reads a pattern in which these places may stand.
    ///
    /// # Errors
    /// A brace without its other, or a place that is none of these.
    pub(super) fn parse(text: &str, places: &[Place]) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (plain, from) = rest.split_at(open);
            let place = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let (name, after) = place.ok_or("the pattern has a brace without its other")?;
            let place = Place::named(name).filter(|place| places.contains(place));
            pieces.push(Piece::Text(plain.to_owned()));
            pieces.push(Piece::Place(place.ok_or("the pattern has a place that cannot be filled")?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    pub(super) fn has(&self, wanted: Place) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Place(place) if *place == wanted))
    }

    fn fill(&self, filled: impl Fn(Place) -> Vec<u8>) -> Vec<u8> {
        let bytes = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone().into_bytes(),
            Piece::Place(place) => filled(*place),
        });
        bytes.collect::<Vec<_>>().concat()
    }
}

/// What of a request is signed.
pub(super) const SIGNED: &[Place] = &[
    Place::Method,
    Place::Host,
    Place::Path,
    Place::Query,
    Place::Target,
    Place::Timestamp,
    Place::Body,
    Place::BodySha256,
];
/// What the header holds.
pub(super) const VALUE: &[Place] = &[Place::Timestamp, Place::Signature];

impl Signing {
    /// The headers that it sets.
    pub(super) fn sets(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.header).chain(&self.timestamp_header)
    }

    /// Signs a request as it will be sent.
    ///
    /// # Errors
    /// The key is not what the settings say, or the header cannot be sent. Nothing was sent.
    pub(super) fn sign(
        &self,
        key: &Secret,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), CallError> {
        self.sign_at(now(), key, method, url, headers, body)
    }

    fn sign_at(
        &self,
        now: DateTime<Utc>,
        key: &Secret,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), CallError> {
        let key = self.key(key)?;
        let timestamp = match self.timestamp {
            TimestampForm::Seconds => now.timestamp().to_string(),
            TimestampForm::Milliseconds => now.timestamp_millis().to_string(),
            TimestampForm::Rfc3339 => now.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        let query = url.query().unwrap_or_default();
        let signed = self.signed.fill(|place| match place {
            Place::Method => method.as_str().as_bytes().to_vec(),
            Place::Host => host(url).into_bytes(),
            Place::Path => url.path().as_bytes().to_vec(),
            Place::Query => query.as_bytes().to_vec(),
            Place::Target if query.is_empty() => url.path().as_bytes().to_vec(),
            Place::Target => format!("{}?{query}", url.path()).into_bytes(),
            Place::Timestamp => timestamp.clone().into_bytes(),
            Place::Body => body.to_vec(),
            Place::BodySha256 => HEXLOWER.encode(digest::digest(&digest::SHA256, body).as_ref()).into_bytes(),
            Place::Signature => Vec::new(),
        });
        let signature = hmac::sign(&key, &signed);
        let signature = match self.encoding {
            Encoding::Hex => HEXLOWER.encode(signature.as_ref()),
            Encoding::Base64 => BASE64.encode(signature.as_ref()),
            Encoding::Base64url => BASE64URL_NOPAD.encode(signature.as_ref()),
        };
        let value = self.value.fill(|place| match place {
            Place::Signature => signature.clone().into_bytes(),
            _ => timestamp.clone().into_bytes(),
        });
        let sendable = |bytes: &[u8]| {
            let unsendable = |_| CallError::new(CallErrorKind::Rejected, Sent::No, "the signature cannot be sent");
            HeaderValue::from_bytes(bytes).map_err(unsendable)
        };
        if let Some(name) = &self.timestamp_header {
            headers.insert(name, sendable(timestamp.as_bytes())?);
        }
        headers.insert(&self.header, sendable(&value)?);
        Ok(())
    }

    fn key(&self, key: &Secret) -> Result<hmac::Key, CallError> {
        let text = key.expose();
        let bytes = match self.key_encoding {
            KeyEncoding::Text => Some(text.as_bytes().to_vec()),
            KeyEncoding::Hex => HEXLOWER.decode(text.trim().to_ascii_lowercase().as_bytes()).ok(),
            KeyEncoding::Base64 => BASE64.decode(text.trim().as_bytes()).ok(),
        };
        let crooked = "the secret slot `signing_key` does not hold a key in the encoding that the settings name";
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| CallError::new(CallErrorKind::SecretUnavailable, Sent::No, crooked))?;
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha384 => hmac::HMAC_SHA384,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
        };
        Ok(hmac::Key::new(algorithm, &bytes))
    }
}

/// The host as the request's `Host` names it.
fn host(url: &Url) -> String {
    let mut host = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        // Writing to a string does not fail.
        let _ = write!(host, ":{port}");
    }
    host
}

#[allow(clippy::disallowed_methods, reason = "who verifies a signature compares its time with the wall clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn signing(signed: &str, value: &str) -> Signing {
        Signing {
            header: HeaderName::from_static("x-signature"),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            key_encoding: KeyEncoding::Text,
            signed: Pattern::parse(signed, SIGNED).unwrap(),
            value: Pattern::parse(value, VALUE).unwrap(),
            timestamp: TimestampForm::Seconds,
            timestamp_header: Some(HeaderName::from_static("x-time")),
        }
    }

    fn header(signing: &Signing, key: &str, body: &[u8]) -> HeaderMap {
        let (url, mut headers) = (Url::parse("https://api.example:8443/a/b?c=d").unwrap(), HeaderMap::new());
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        signing.sign_at(now, &Secret::new(key.to_owned()), &Method::POST, &url, &mut headers, body).unwrap();
        headers
    }

    #[test]
    fn the_vector_of_rfc_4231_is_met_in_each_encoding() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let mut plain = signing("{body}", "{signature}");
        let body = b"what do ya want for nothing?";
        assert_eq!(header(&plain, "Jefe", body)["x-signature"], expected);
        plain.key_encoding = KeyEncoding::Hex;
        assert_eq!(header(&plain, "4A656665", body)["x-signature"], expected);
        plain.key_encoding = KeyEncoding::Base64;
        assert_eq!(header(&plain, "SmVmZQ==", body)["x-signature"], expected);
        plain.encoding = Encoding::Base64;
        assert_eq!(header(&plain, "SmVmZQ==", body)["x-signature"], "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }

    #[test]
    fn what_is_signed_and_shown_follows_the_patterns() {
        let stripe_like = signing("{timestamp}.{body}", "t={timestamp},v1={signature}");
        let headers = header(&stripe_like, "key", b"{}");
        let by_hand = signing("1700000000.{body}", "{signature}");
        let signature = header(&by_hand, "key", b"{}")["x-signature"].to_str().unwrap().to_owned();
        assert_eq!(headers["x-signature"], format!("t=1700000000,v1={signature}"));
        assert_eq!(headers["x-time"], "1700000000");
        let all = signing("{method}\n{host}\n{path}\n{query}\n{target}\n{body_sha256}", "{signature}");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let same = format!("POST\napi.example:8443\n/a/b\nc=d\n/a/b?c=d\n{empty}");
        assert_eq!(
            header(&all, "key", b"")["x-signature"],
            header(&signing(&same, "{signature}"), "key", b"")["x-signature"]
        );
    }

    #[test]
    fn a_pattern_has_known_places_only() {
        for bad in ["{", "}", "{body", "{secret}", "{signature}", "{}", "a}b{body}"] {
            assert!(Pattern::parse(bad, SIGNED).is_err(), "{bad}");
        }
        assert!(Pattern::parse("{body}", VALUE).is_err());
    }

    #[test]
    fn a_key_of_another_encoding_is_refused_and_not_shown() {
        let mut signing = signing("{body}", "{signature}");
        signing.key_encoding = KeyEncoding::Hex;
        let told = signing.key(&Secret::new("canary-not-hex".to_owned())).unwrap_err();
        assert!(!format!("{told:?}").contains("canary"));
    }
}
