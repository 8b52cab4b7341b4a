//! Connections for what is not HTTP, to addresses that were judged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Host;

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
        let addresses = match host {
            Host::Ipv4(address) => Arc::from([(*address).into()]),
            Host::Ipv6(address) => Arc::from([(*address).into()]),
            Host::Domain(name) => {
                self.names().addresses(name).await.map_err(|problem| unreachable(&problem.to_string()))?
            }
        };
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
}

fn unreachable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Unreachable, Sent::No, detail)
}
