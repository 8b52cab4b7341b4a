//! The vault: whether it answers, and lets the install in.

use std::time::Duration;

use tokio::time::timeout;

use super::{Finding, Mark};
use crate::compose::to_vault;
use crate::settings::Settings;

const CHECK: &str = "vault";
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn examine(settings: &Settings) -> Option<Finding> {
    let given = settings.secrets.vault.as_ref()?;
    let vault = match to_vault(settings, given) {
        Ok(vault) => vault,
        Err(error) => return Some(Finding::new(CHECK, Mark::Fail, format!("{error:#}"))),
    };
    let finding = match timeout(PATIENCE, vault.check()).await {
        Ok(Ok(())) if given.options.url.scheme() == "http" && !is_loopback(&given.options.url) => {
            Finding::new(CHECK, Mark::Warn, "it lets us in, and what it says can be read on the way: use https")
        }
        Ok(Ok(())) => Finding::new(CHECK, Mark::Ok, "it lets us in"),
        Ok(Err(error)) => Finding::new(CHECK, Mark::Fail, error.to_string()),
        Err(_) => Finding::new(CHECK, Mark::Fail, "the vault does not answer"),
    };
    Some(finding)
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
