//! How often a client may fail to prove itself: ten times a minute, then it waits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);
const MAX_FAILURES: u32 = 10;
/// How many clients are remembered. At the bound, clients that are not yet known wait.
const MAX_CLIENTS: usize = 10_000;

/// The failures of the last minute, by client id.
#[derive(Debug, Default)]
pub struct Failures {
    clients: Mutex<HashMap<String, Client>>,
}

#[derive(Debug, Clone, Copy)]
struct Client {
    since: Instant,
    failures: u32,
}

impl Failures {
    /// Takes one of the client's tries. Give it back by [`succeeded`](Self::succeeded) if the proof holds: taken first
    /// and given back after, so that tries made at once cannot exceed the bound.
    ///
    /// # Errors
    /// How long to wait.
    pub fn begin(&self, client_id: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.contains_key(client_id) && clients.len() >= MAX_CLIENTS {
            clients.retain(|_, client| now.duration_since(client.since) < WINDOW);
            if clients.len() >= MAX_CLIENTS {
                return Err(WINDOW);
            }
        }
        let client = clients.entry(client_id.to_owned()).or_insert(Client { since: now, failures: 0 });
        if now.duration_since(client.since) >= WINDOW {
            *client = Client { since: now, failures: 0 };
        }
        if client.failures >= MAX_FAILURES {
            return Err(WINDOW.saturating_sub(now.duration_since(client.since)));
        }
        client.failures += 1;
        Ok(())
    }

    /// The proof held: the try was no failure.
    pub fn succeeded(&self, client_id: &str) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get_mut(client_id) {
            client.failures = client.failures.saturating_sub(1);
            if client.failures == 0 {
                clients.remove(client_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_ten_failures_a_minute_a_client_waits() {
        let failures = Failures::default();
        for _ in 0..1_000 {
            failures.begin("honest").unwrap();
            failures.succeeded("honest");
        }
        for _ in 0..10 {
            failures.begin("guesser").unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(failures.begin("guesser"), Err(Duration::from_secs(50)));
        assert_eq!(failures.begin("honest"), Ok(()));
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(failures.begin("guesser"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn inv_37_ten_thousand_guessed_ids_stay_under_the_cap_and_shut_out_nobody_known() {
        let failures = Failures::default();
        failures.begin("known").unwrap();
        for number in 0..20_000 {
            failures.begin(&format!("guess-{number}")).ok();
        }
        assert_eq!(failures.clients.lock().unwrap().len(), MAX_CLIENTS);
        assert!(failures.begin("newcomer").is_err());
        assert_eq!(failures.begin("known"), Ok(()));
        tokio::time::advance(WINDOW).await;
        assert_eq!(failures.begin("newcomer"), Ok(()));
    }
}
