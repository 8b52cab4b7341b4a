//! Who really sent a webhook: one provider a file, all behind [`WebhookProvider`].
//!
//! One rule: what is verified are the raw bytes that are then parsed, once; and every refusal reads the same.

mod address;
mod adyen;
mod body;
mod error;
mod fresh;
mod github;
mod header;
mod hmac;
mod mac;
mod paddle;
mod provider;
mod registry;
mod request;
mod settings;
mod shopify;
mod slack;
mod standard;
mod stripe;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use adyen::Adyen;
pub use body::{BodyError, DEPTH_MAX, parse_json};
pub use error::{EventError, FixtureError, SignatureError};
pub use fresh::TOLERANCE;
pub use github::GitHub;
pub use hmac::Hmac;
pub use paddle::Paddle;
pub use provider::{EventFacts, Fixture, WebhookProvider};
pub use registry::{provider, providers};
pub use request::InboundWebhook;
pub use shopify::Shopify;
pub use slack::Slack;
pub use standard::StandardWebhooks;
pub use stripe::Stripe;
