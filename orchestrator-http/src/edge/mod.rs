//! The edge: from the socket to the router and back.
//!
//! Everything that a stranger can do to a connection ends here: slow or crooked senders, floods, clients that go away.
//! What passes is one whole, unambiguous request with a trace; what leaves is an answer with its headers.

mod connections;
mod framing;
mod guarded;
mod limits;
mod pace;
mod server;
mod trace;

pub use connections::PeerAddress;
pub use limits::EdgeLimits;
pub(crate) use pace::BodyError;
pub use server::serve;
pub use trace::{Outermost, RequestTrace, Tenant, outermost};
