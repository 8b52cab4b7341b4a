//! Callbacks: what the engine tells the product. A callback is a job of its own; its body is rendered once.

mod delivery;
mod render;
pub mod signing;
mod transport;

pub(crate) use delivery::Delivery;
pub(crate) use render::{WebhookDelivery, render_job, render_webhook};
pub use transport::{CallbackAnswer, CallbackRequest, CallbackTransport};
