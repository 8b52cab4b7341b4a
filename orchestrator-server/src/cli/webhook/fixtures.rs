//! The fixtures that come with the program: events in the shape of each provider, with nothing real in them.

use std::fmt::Write;

/// A fixture.
pub(super) struct Sample {
    /// Whose.
    pub(super) provider: &'static str,
    /// Its name here.
    pub(super) name: &'static str,
    /// Its type, where the provider tells that in a header.
    pub(super) event_type: Option<&'static str>,
    /// The body.
    pub(super) text: &'static str,
}

macro_rules! sample {
    ($provider:literal, $name:literal) => {
        sample!($provider, $name, None)
    };
    ($provider:literal, $name:literal, $event_type:expr) => {
        Sample {
            provider: $provider,
            name: $name,
            event_type: $event_type,
            text: include_str!(concat!("../../../../examples/fixtures/", $provider, "/", $name, ".json")),
        }
    };
}

/// All of them, by provider.
pub(super) const SAMPLES: &[Sample] = &[
    sample!("stripe", "invoice.paid"),
    sample!("stripe", "charge.refunded"),
    sample!("stripe", "customer.subscription.updated"),
    sample!("stripe", "account.updated"),
    sample!("stripe", "v1.billing.meter.error_report_triggered"),
    sample!("github", "push", Some("push")),
    sample!("github", "issues", Some("issues")),
    sample!("shopify", "orders-create", Some("orders/create")),
    sample!("shopify", "app-uninstalled", Some("app/uninstalled")),
    sample!("slack", "app_mention"),
    sample!("slack", "url_verification"),
    sample!("standard-webhooks", "contact.created"),
    sample!("hmac", "order.created"),
    sample!("paddle", "transaction.completed"),
    sample!("paddle", "subscription.canceled"),
    sample!("adyen", "AUTHORISATION"),
    sample!("adyen", "REFUND"),
];

/// The fixture of that provider and name.
pub(super) fn find(provider: &str, name: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.provider == provider && sample.name == name)
}

/// The names of a provider's fixtures, as a person reads them.
pub(super) fn names(provider: &str) -> String {
    let mut names = String::new();
    for sample in SAMPLES.iter().filter(|sample| sample.provider == provider) {
        let comma = if names.is_empty() { "" } else { ", " };
        // Writing to a text does not fail.
        write!(names, "{comma}{}", sample.name).ok();
    }
    names
}
