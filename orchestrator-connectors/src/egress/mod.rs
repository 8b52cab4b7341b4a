//! The egress guard: the one way out of the install.
//!
//! A tenant chooses where calls go, so every destination is hostile until its address is known. An address is judged
//! twice: a literal in the URL before anything happens (a literal never reaches a resolver), and each address that a
//! name resolves to, inside the resolver whose answer is the one connected to, so that a name cannot change its mind
//! between check and use. Proxies of the environment, redirects and hidden retries are off.
//!
//! What is not HTTP gets a connection from it, to an address that was judged in the same way.
//!
//! **The one rule:** only [`EgressClient`] builds an HTTP client or opens a connection; whoever wants out goes through it.

mod answer;
mod client;
mod names;
mod objects;
mod policy;
mod ranges;
mod resolver;
mod retry_after;
mod stream;
mod tls;
mod transport;

pub use answer::{BodyLimit, EgressAnswer, EgressLimits};
pub(crate) use answer::{DEFAULT_BODY_BYTES, EXCERPT_BYTES};
pub use client::{EgressClient, EgressError};
pub use names::{Lookup, SystemLookup};
pub use objects::GuardedObjects;
pub use policy::{EgressPolicy, EgressRefusal, Forbidden};
pub use ranges::{Range, range_of};
pub use retry_after::retry_after;
pub(crate) use tls::{TlsTrust, TlsTrustError};
pub(crate) use transport::ca_certificates;
pub use transport::{ProxyServer, Transport, TransportError};
