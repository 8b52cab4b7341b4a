//! The settings of a `stripe` connector.

use http::HeaderValue;
use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::egress::DEFAULT_BODY_BYTES;
use crate::http::connections::{ConnectionSettings, read_proxy};
use crate::http::path::BaseUrl;
use crate::http::shape::{Given, Shape};

const API: &str = "https://api.stripe.com";

/// What every call carries. Holds no secret: the slot `api_key` does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "StripeSettings")]
pub(super) struct SettingsDocument {
    /// Where the API is. `https://api.stripe.com` if absent.
    #[serde(default)]
    base_url: Given<String>,
    /// The version of the API, sent as `Stripe-Version`: `2025-03-31.basil`. The account's own if absent.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(\\.[a-z0-9_]{1,32})?$"))]
    version: Given<String>,
    /// The connected account that calls are made for, where the input names none.
    #[serde(default)]
    #[schemars(regex(pattern = "^acct_[A-Za-z0-9]{1,250}$"))]
    account: Given<String>,
    /// A larger answer fails the call. 8 MiB if absent.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 1, max = 67_108_864))]
    max_response_bytes: Given<f64>,
    /// The proxy that every connection goes through: `http` or `https`, a host and a port. The slot `proxy` holds its
    /// `user:password`.
    #[serde(default)]
    proxy: Given<String>,
}

/// The settings, sound.
#[derive(Debug)]
pub(super) struct StripeSettings {
    pub(super) base: BaseUrl,
    pub(super) version: Option<HeaderValue>,
    pub(super) account: Option<String>,
    pub(super) max_response_bytes: usize,
    pub(super) connections: ConnectionSettings,
}

impl StripeSettings {
    /// Reads settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schema bounds it")]
    pub(super) fn read(shape: &Shape, settings: &Value) -> Result<Self, Vec<FieldError>> {
        let (document, mut problems) = shape.read::<SettingsDocument>(settings);
        let base = BaseUrl::parse(document.base_url.0.as_deref().unwrap_or(API)).map_err(|found| {
            problems.extend(found.into_iter().map(|problem| FieldError::new("/base_url", problem)));
        });
        let mut connections = ConnectionSettings::default();
        match document.proxy.0.as_deref().map(read_proxy) {
            Some(Ok(url)) => connections.proxy = Some(url),
            Some(Err(problem)) => problems.push(FieldError::new("/proxy", problem)),
            None => {}
        }
        match base {
            Ok(base) if problems.is_empty() => Ok(Self {
                base,
                version: document.version.0.and_then(|version| HeaderValue::from_str(&version).ok()),
                account: document.account.0,
                max_response_bytes: document.max_response_bytes.0.map_or(DEFAULT_BODY_BYTES, |bytes| bytes as usize),
                connections,
            }),
            _ if problems.is_empty() => {
                Err(vec![FieldError::new("", "these are not settings of a `stripe` connector")])
            }
            _ => Err(problems),
        }
    }
}
