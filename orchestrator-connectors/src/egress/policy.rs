//! What this install lets calls reach.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use super::ranges::{Range, embedded, range_of};

/// The destination is one that calls may not reach. Says neither which address nor why: both are the install's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the destination is an address that this install does not let calls reach")]
pub struct Forbidden;

/// Why a URL is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EgressRefusal {
    /// Its host is an address that calls may not reach.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// It is no `http` or `https` URL with a host and a port.
    #[error("only `http` and `https` URLs with a host can be called")]
    NotHttp,
    /// It carries a user or a password, which belong into secrets.
    #[error("a URL with a user or password in it is not called")]
    Userinfo,
}

/// Which addresses calls may reach: the public internet, what the install allows beyond it, and never its own listeners.
///
/// Cloning is cheap and shares the rules.
#[derive(Clone, Default)]
pub struct EgressPolicy(Arc<Rules>);

#[derive(Clone, Default)]
struct Rules {
    allow: Vec<IpNet>,
    own: Vec<SocketAddr>,
}

impl EgressPolicy {
    /// The public internet, and these ranges though they are not of it.
    ///
    /// Allowing a range of translated addresses (NAT64, 6to4, Teredo) opens the translator, not what lies behind it: the
    /// IPv4 address inside must be public, or be allowed itself.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self(Arc::new(Rules { allow, own: Vec::new() }))
    }

    /// The same, never reaching these listeners of the install itself, whatever else is allowed. A listener on an
    /// unspecified address (`0.0.0.0`, `[::]`) stands for each address of this machine. Give the ports that were bound, and
    /// the public addresses besides if a balancer or an address translation leads back to them.
    #[must_use]
    pub fn refusing_own(mut self, own: Vec<SocketAddr>) -> Self {
        Arc::make_mut(&mut self.0).own.extend(own);
        self
    }

    /// Whether calls may connect to this address.
    ///
    /// # Errors
    /// They may not.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let target = address.ip().to_canonical();
        let inside: Vec<IpAddr> = match target {
            IpAddr::V4(_) => Vec::new(),
            IpAddr::V6(target) => embedded(target).into_iter().map(IpAddr::V4).collect(),
        };
        if self.is_own(target, address.port()) || inside.iter().any(|inner| self.is_own(*inner, address.port())) {
            return Err(Forbidden);
        }
        match range_of(target) {
            None => Ok(()),
            Some(range) if !self.allows(target) => Err(self.refused(range)),
            // What has no meaning of its own but through a translator is judged by where the translator leads.
            Some(Range::Translated)
                if !inside.iter().all(|inner| self.allows(*inner) || range_of(*inner).is_none()) =>
            {
                Err(self.refused(Range::Translated))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether an address lies inside: what is sent there in clear stays where the install lets it. What a translator
    /// leads to may be outside.
    pub(crate) fn is_inside(address: IpAddr) -> bool {
        range_of(address.to_canonical()).is_some_and(|range| range != Range::Translated)
    }

    /// Whether a URL may be called, as far as can be told without resolving its name.
    ///
    /// # Errors
    /// It is not one that can be called, or its host is the literal of an address that calls may not reach.
    pub fn check_url(&self, url: &Url) -> Result<(), EgressRefusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressRefusal::NotHttp);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressRefusal::Userinfo);
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(EgressRefusal::NotHttp);
        };
        match host {
            Host::Ipv4(address) => Ok(self.check_address((address, port).into())?),
            Host::Ipv6(address) => Ok(self.check_address((address, port).into())?),
            Host::Domain(_) => Ok(()),
        }
    }

    /// The ports of the install's own listeners, each once.
    pub(super) fn own_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.0.own.iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.0.allow.iter().any(|range| range.contains(&address))
    }

    fn is_own(&self, target: IpAddr, port: u16) -> bool {
        self.0.own.iter().filter(|own| own.port() == port).any(|own| {
            let own = own.ip().to_canonical();
            // Connecting to the unspecified address reaches this machine.
            own == target || target.is_unspecified() || (own.is_unspecified() && is_of_this_machine(target))
        })
    }

    fn refused(&self, range: Range) -> Forbidden {
        tracing::debug!(?range, "an outbound call was refused by the egress guard");
        Forbidden
    }
}

impl fmt::Debug for EgressPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EgressPolicy").field("allow", &self.0.allow).field("own", &self.0.own).finish()
    }
}

/// Whether an address is one of this machine's: only those can be bound. No packet is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        // Whatever else goes wrong (no descriptors left) must not open the door.
        Err(problem) => address.is_loopback() || problem.kind() != ErrorKind::AddrNotAvailable,
    }
}
