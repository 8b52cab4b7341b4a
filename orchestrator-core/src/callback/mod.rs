//! Callbacks: what the engine tells the product.

mod transport;

pub use transport::{CallbackAnswer, CallbackRequest, CallbackTransport};
