//! What a connection may cost.

use std::time::Duration;

/// The limits of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeLimits {
    /// How long the head of a request may take, and a kept connection may idle.
    pub header_timeout: Duration,
    /// How large a head may be, in bytes.
    pub header_bytes: usize,
    /// How long a body may take whatever its size.
    pub body_grace: Duration,
    /// How many bytes a second a body must bring beyond the grace.
    pub body_min_rate: u32,
    /// How many connections at once.
    pub connections: usize,
    /// How many from one address (of IPv6: from one /64).
    pub connections_per_address: usize,
    /// How long running requests have to end once the listener closes.
    pub drain: Duration,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            body_grace: Duration::from_secs(10),
            body_min_rate: 4 * 1024,
            connections: 16_384,
            connections_per_address: 4_096,
            drain: Duration::from_secs(30),
        }
    }
}
