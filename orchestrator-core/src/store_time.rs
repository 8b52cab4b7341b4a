//! The store's time, as a node reckons it between two looks at the store.
//!
//! One rule: a moment that others compare with theirs (the store, a product that looks at the time of a signature) is reckoned in
//! this one. The node's clock may lie by any
//! amount and jump; what goes on between two looks is measured by a clock that only goes on.

use std::sync::{Mutex, PoisonError};

use orchestrator_types::Timestamp;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// When the store was last asked for its time, and what it said.
pub(crate) struct StoreTime(Mutex<(Instant, Timestamp)>);

impl StoreTime {
    /// Asks for the first time.
    pub(crate) async fn of(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self(Mutex::new(look(store).await?)))
    }

    /// Asks again.
    pub(crate) async fn set(&self, store: &dyn Store) -> Result<(), StoreError> {
        let looked = look(store).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = looked;
        Ok(())
    }
}

impl Clock for StoreTime {
    /// The store's time now.
    fn now(&self) -> Timestamp {
        let (at, time) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.after(at.elapsed())
    }
}

async fn look(store: &dyn Store) -> Result<(Instant, Timestamp), StoreError> {
    let asked = Instant::now();
    let time = store.now().await?;
    // It was so somewhere between the question and the answer.
    Ok((asked + asked.elapsed() / 2, time))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::memory::MemoryStore;

    struct Fixed(i64);

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_36_time_goes_on_from_what_the_store_said_whatever_the_node_s_clock_says() {
        let store = MemoryStore::new(Arc::new(Fixed(1_000_000)));
        let time = StoreTime::of(&store).await.unwrap();
        assert_eq!(time.now().unix_ms(), 1_000_000);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(time.now().unix_ms(), 1_005_000);
        time.set(&store).await.unwrap();
        assert_eq!(time.now().unix_ms(), 1_000_000, "the store's time is right by definition");
    }
}
