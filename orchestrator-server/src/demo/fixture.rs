//! Stripe's side: events in its shape, signed as it signs.

use anyhow::Context;
use bytes::Bytes;
use http::HeaderMap;
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use serde_json::Value;

const INVOICE_PAID: &str = include_str!("../../../examples/fixtures/stripe/invoice.paid.json");

/// An `invoice.paid` of `account`, with an id of its own.
pub(crate) fn invoice_paid(account: Option<&str>) -> anyhow::Result<(String, Bytes)> {
    let mut event: Value = serde_json::from_str(INVOICE_PAID)?;
    let id = format!("evt_demo{:016x}", fastrand::u64(..));
    event["id"] = Value::String(id.clone());
    match (account, event.as_object_mut()) {
        (Some(account), _) => event["account"] = Value::String(account.to_owned()),
        (None, Some(fields)) => drop(fields.remove("account")),
        (None, None) => {}
    }
    Ok((id, Bytes::from(serde_json::to_vec_pretty(&event)?)))
}

/// The headers with which Stripe would send the body.
pub(crate) fn sign(body: &[u8], secret: &str) -> anyhow::Result<HeaderMap> {
    let stripe = provider("stripe").context("this build has no Stripe provider")?;
    let now = SystemClock.now();
    let mut headers = stripe.sign(&Fixture::new(body, "unused"), &Secret::new(secret.to_owned()), now)?;
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(headers)
}
