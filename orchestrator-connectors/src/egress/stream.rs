//! Connections for what is not HTTP, to addresses that were judged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use super::client::EgressClient;
use super::policy::{EgressPolicy, Forbidden};

/// A connection, and where it leads.
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    /// Whether the address lies inside: it is not of the public internet, and the install allows it.
    pub(crate) inside: bool,
}

impl EgressClient {
    /// Opens a connection to a port of a host, within `patience` for name and connection together. Of the addresses that
    /// a name has, those that may not be reached are passed over; the others are tried in turn.
    ///
    /// Dropping the future closes what it opened.
    ///
    /// # Errors
    /// The destination is forbidden, or was not reached. Nothing has been sent.
    pub(crate) async fn connect(&self, host: &Host, port: u16, patience: Duration) -> Result<Connected, CallError> {
        timeout(patience, self.connect_in_turn(host, port))
            .await
            .unwrap_or_else(|_| Err(unreachable("the connection was not made in time")))
    }

    async fn connect_in_turn(&self, host: &Host, port: u16) -> Result<Connected, CallError> {
        let addresses = self.addresses(host).await?;
        let judged = addresses.iter().map(|address| SocketAddr::new(address.to_canonical(), port));
        let reachable: Vec<SocketAddr> =
            judged.filter(|address| self.policy().check_address(*address).is_ok()).collect();
        if reachable.is_empty() {
            return Err(CallError::new(CallErrorKind::DestinationForbidden, Sent::No, Forbidden.to_string()));
        }
        for address in reachable {
            if let Ok(stream) = TcpStream::connect(address).await {
                // Dialogues of short lines: none of them is to wait for the next.
                let _ = stream.set_nodelay(true);
                return Ok(Connected { stream, inside: EgressPolicy::is_inside(address.ip()) });
            }
        }
        Err(unreachable("no connection to the upstream could be made"))
    }

    /// Whether all addresses of a URL's host lie inside: they are not of the public internet. That the install allows them
    /// is seen to when they are connected to.
    ///
    /// # Errors
    /// The host's name is not known.
    pub(crate) async fn leads_inside(&self, url: &Url) -> Result<bool, CallError> {
        let Some(host) = url.host() else { return Ok(false) };
        let addresses = self.addresses(&host.to_owned()).await?;
        Ok(addresses.iter().all(|address| EgressPolicy::is_inside(*address)))
    }

    async fn addresses(&self, host: &Host) -> Result<Arc<[IpAddr]>, CallError> {
        match host {
            Host::Ipv4(address) => Ok(Arc::from([(*address).into()])),
            Host::Ipv6(address) => Ok(Arc::from([(*address).into()])),
            Host::Domain(name) => {
                self.names().addresses(name).await.map_err(|problem| unreachable(&problem.to_string()))
            }
        }
    }
}

fn unreachable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Unreachable, Sent::No, detail)
}
