//! The providers that are built in.

use super::{GitHub, Hmac, Shopify, Slack, StandardWebhooks, Stripe, WebhookProvider};

static PROVIDERS: [&dyn WebhookProvider; 6] = [&Stripe, &GitHub, &Shopify, &Slack, &StandardWebhooks, &Hmac];

/// Every built-in provider.
#[must_use]
pub fn providers() -> &'static [&'static dyn WebhookProvider] {
    &PROVIDERS
}

/// The built-in provider of that name.
#[must_use]
pub fn provider(name: &str) -> Option<&'static dyn WebhookProvider> {
    PROVIDERS.iter().copied().find(|provider| provider.name() == name)
}
