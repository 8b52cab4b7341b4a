//! Reading requests: what is not exactly as the contract says is refused here, with what to change.

mod body;
mod headers;
mod json;
mod params;
mod path;
mod range;

pub use body::{Body, BodyLimit, Raw};
pub use headers::{IdempotencyHeader, IfMatch, etag, none_match};
pub use params::{Limit, Params};
pub use path::Named;
pub use range::Wanted;
