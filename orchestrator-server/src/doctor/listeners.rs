//! The listeners: free, or answering.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use orchestrator_client::{Client, Error, Retry};

use super::{Finding, Mark};
use crate::settings::Settings;

/// A server on this machine answers sooner.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let listen = &settings.listen;
    let mut findings = vec![one("listen.api", listen.api).await];
    if let Some(control) = listen.control {
        findings.push(one("listen.control", control).await);
    }
    findings.push(one("listen.ops", listen.ops).await);
    findings
}

async fn one(check: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::new(check, Mark::Ok, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match answers(address).await {
            true => Finding::new(check, Mark::Ok, format!("an Orchestrator answers on {address}")),
            false => Finding::new(check, Mark::Fail, format!("{address} is taken, and not by an Orchestrator")),
        },
        Err(error) => Finding::new(check, Mark::Fail, format!("{address} cannot be bound: {error}")),
    }
}

/// Whether one of our servers answers there: on the ops listener it is alive, on the others it says by a problem document
/// that it has no such path.
async fn answers(address: SocketAddr) -> bool {
    let client = Client::builder(&format!("http://{}", reached(address))).retry(Retry::never()).timeout(PATIENCE);
    match client.build() {
        Ok(client) => matches!(client.health().await, Ok(()) | Err(Error::Problem(_))),
        Err(_) => false,
    }
}

/// A listener on every address is reached on loopback.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
