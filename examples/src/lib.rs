//! Complete programs, each in one file under `examples/` of this crate; the tests run all of them.
//!
//! | program | shows |
//! |---|---|
//! | `layers` | the policy layers over any `tower::Service`, without the engine |
//! | `embed` | the engine inside a program: workspace, connector, call, job, events; no HTTP server |
//! | `connector` | a connector kind of an integrator's own, with `orchestrator-core` alone |
//! | `product` | an axum product that receives callbacks: verified, deduplicated, answered |
//! | `events` | the event feed by page and as a stream, with the client |
//!
//! `cargo run -p orchestrator-examples --example embed` runs one.
//!
//! Beside them: [`bundles`], two workspaces as documents, and [`fixtures`], events as Stripe would send them.

/// Workspaces as documents: what `PUT /workspaces/{ws}/bundle` takes. Their addresses lead nowhere until they are replaced.
pub mod bundles {
    /// `buildos-dev`: invoices and refunds.
    pub const BUILDOS_DEV: &str = include_str!("../bundles/buildos-dev.json");
    /// `beauty-dev`: the second tenant, onboarded without a line of code.
    pub const BEAUTY_DEV: &str = include_str!("../bundles/beauty-dev.json");
}

/// Events in the shape that providers give them, written for this project. Their account is `acct_buildos`.
pub mod fixtures {
    /// Stripe's `invoice.paid`.
    pub const STRIPE_INVOICE_PAID: &str = include_str!("../fixtures/stripe/invoice.paid.json");
    /// Stripe's `charge.refunded`: a part of it.
    pub const STRIPE_CHARGE_REFUNDED: &str = include_str!("../fixtures/stripe/charge.refunded.json");
    /// Stripe's `customer.subscription.updated`: more seats.
    pub const STRIPE_SUBSCRIPTION_UPDATED: &str = include_str!("../fixtures/stripe/customer.subscription.updated.json");
}
