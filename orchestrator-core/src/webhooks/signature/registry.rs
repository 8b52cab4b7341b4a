//! The providers that are built in.

use super::{Adyen, GitHub, Hmac, Paddle, Shopify, Slack, StandardWebhooks, Stripe, WebhookProvider};

static PROVIDERS: [&dyn WebhookProvider; 8] =
    [&Stripe, &GitHub, &Shopify, &Slack, &StandardWebhooks, &Hmac, &Paddle, &Adyen];

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
