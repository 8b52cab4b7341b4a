//! The resolver inside the client: what it answers is what is connected to, so it answers only what may be reached.

use std::error::Error;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::names::Names;
use super::policy::{EgressPolicy, Forbidden};

/// Resolves for connections to one port of the install's own, or to any other.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    names: Names,
    policy: EgressPolicy,
    /// The client does not tell a resolver the port; it is 0 where the port cannot be one of the install's own.
    port: u16,
}

impl GuardedResolver {
    pub(super) fn new(names: Names, policy: EgressPolicy, port: u16) -> Self {
        Self { names, policy, port }
    }

    async fn resolve(self, name: Name) -> Result<Addrs, Box<dyn Error + Send + Sync>> {
        let addresses = self.names.addresses(name.as_str()).await?;
        let reachable: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| SocketAddr::new(address.to_canonical(), self.port))
            .filter(|address| self.policy.check_address(*address).is_ok())
            .collect();
        if reachable.is_empty() {
            return Err(Forbidden.into());
        }
        Ok(Box::new(reachable.into_iter()))
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().resolve(name))
    }
}
