//! Callbacks: what the engine tells the product.

pub mod signing;
mod transport;

pub use transport::{CallbackAnswer, CallbackRequest, CallbackTransport};
