//! Who is connected, and how often: at the bound a newcomer is refused, the others go on.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::EdgeLimits;

/// The address of the peer, in the extensions of each request. Never taken from a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Open>,
    in_all: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Open {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub(super) fn new(limits: &EdgeLimits) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            in_all: limits.connections,
            per_address: limits.connections_per_address,
        })
    }

    /// Counts a newcomer; `None` at a bound.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Counted> {
        let address = grouped(peer.ip());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = open.by_address.get(&address).copied().unwrap_or(0);
        if open.in_all >= self.in_all || from_here >= self.per_address {
            return None;
        }
        open.in_all += 1;
        open.by_address.insert(address, from_here + 1);
        Some(Counted { connections: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.in_all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// Whoever has an IPv6 address has 2⁶⁴ of them.
fn grouped(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn at_a_bound_a_newcomer_is_refused_until_somebody_leaves() {
        let limits = EdgeLimits { connections: 3, connections_per_address: 2, ..EdgeLimits::default() };
        let connections = Connections::new(&limits);
        let admit = |text: &str| connections.admit(text.parse().unwrap());
        let first = admit("[2001:db8::1]:1").unwrap();
        let _second = admit("[2001:db8::2]:2").unwrap();
        assert!(admit("[2001:db8::3]:3").is_none());
        let _third = admit("192.0.2.1:1").unwrap();
        assert!(admit("192.0.2.2:1").is_none());
        drop(first);
        assert!(admit("[2001:db8::3]:3").is_some());
        drop((_second, _third));
        assert!(connections.open.lock().unwrap().by_address.is_empty());
    }
}
