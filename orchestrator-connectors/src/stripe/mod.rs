//! The `stripe` connector kind: Stripe's API in its own terms.
//!
//! Typed operations for the common objects come from one table, and `request` does the rest. Every `POST` carries an
//! `Idempotency-Key`, so that each call may be made again; lists can be read to their end; calls can be made for
//! connected accounts.
//!
//! **The one rule:** what an error means is told by its type and code, not by its status alone.

mod connector;
mod failure;
mod form;
mod input;
mod kind;
mod objects;
mod operation;
mod settings;

pub use kind::StripeKind;
