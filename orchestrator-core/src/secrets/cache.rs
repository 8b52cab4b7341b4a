//! What was read of secrets, kept for a while.
//!
//! | the source said | is answered for | then |
//! |---|---|---|
//! | a secret | 5 s, from a vault 30 s | it is asked again |
//! | nothing is there | 1 s | it is asked again; what was read before is forgotten at once |
//! | nothing: it is away | 1 s what was read before, if that is no older than 10 min | it is asked again |
//!
//! One rule: of those who want the same secret at once, one asks the source and all get its answer. Who goes away while
//! it asks leaves the question to the next one.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use orchestrator_types::{SecretRef, WorkspaceId};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Secret, SecretError};

/// So many secrets are kept; beyond that those go that were not used for longest.
const CACHED: usize = 16_384;
/// A refusal, or that a source is away, is answered again for so long without asking.
const REFUSED: Duration = Duration::from_secs(1);
/// What was read last serves for so long while its source is away.
const STALE: Duration = Duration::from_secs(10 * 60);
/// A source that takes longer is away.
const ANSWERS: Duration = Duration::from_secs(5);

pub(super) type Key = (WorkspaceId, SecretRef);
pub(super) type Answer = Result<Arc<[Secret]>, SecretError>;

/// What was read lately, by workspace and reference.
pub(super) struct SecretCache(Cache<Key, Arc<Slot>>);

#[derive(Default)]
struct Slot {
    kept: ArcSwapOption<Kept>,
    asking: Mutex<()>,
}

struct Kept {
    answer: Answer,
    until: Instant,
    /// When a source last gave a secret.
    read_at: Option<Instant>,
}

impl SecretCache {
    pub(super) fn new() -> Self {
        Self(Cache::new(CACHED))
    }

    /// The secret as it was read lately, else as `read` reads it; it is kept for `fresh`.
    pub(super) async fn get<F: Future<Output = Answer>>(
        &self,
        key: &Key,
        fresh: Duration,
        read: impl FnOnce() -> F,
    ) -> Answer {
        let Ok(slot) = self.0.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::default()));
        if let Some(answer) = slot.answer() {
            return answer;
        }
        let _asking = slot.asking.lock().await;
        if let Some(answer) = slot.answer() {
            return answer;
        }
        let read = timeout(ANSWERS, read()).await.unwrap_or(Err(SecretError::Unreachable));
        slot.keep(read, fresh)
    }

    /// Forgets a secret. Who is asking its source now keeps the answer for themselves.
    pub(super) fn forget(&self, key: &Key) {
        self.0.remove(key);
    }

    /// Forgets what is too old to serve, so that no secret stays in memory that nobody uses.
    pub(super) fn purge(&self) {
        self.0.retain(|_, slot| slot.kept.load().as_ref().is_some_and(|kept| kept.serves()));
    }
}

impl Slot {
    fn answer(&self) -> Option<Answer> {
        let kept = self.kept.load();
        kept.as_ref().filter(|kept| Instant::now() < kept.until).map(|kept| kept.answer.clone())
    }

    fn keep(&self, read: Answer, fresh: Duration) -> Answer {
        let (now, before) = (Instant::now(), self.kept.load_full());
        let kept = match (read, before) {
            (Ok(secrets), _) => Kept { answer: Ok(secrets), until: now + fresh, read_at: Some(now) },
            (Err(SecretError::Unreachable), Some(before)) if before.serves() => {
                Kept { answer: before.answer.clone(), until: now + REFUSED, read_at: before.read_at }
            }
            (Err(error), _) => Kept { answer: Err(error), until: now + REFUSED, read_at: None },
        };
        let answer = kept.answer.clone();
        self.kept.store(Some(Arc::new(kept)));
        answer
    }
}

impl Kept {
    /// Whether its secret may still be given while the source is away.
    fn serves(&self) -> bool {
        self.read_at.is_some_and(|read_at| read_at.elapsed() < STALE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::Mutex as Held;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;

    const FRESH: Duration = Duration::from_secs(5);
    const MOMENT: Duration = Duration::from_millis(1);

    /// A source that is asked, takes a second, and says what it is told to.
    struct Source {
        cache: Arc<SecretCache>,
        says: Arc<Held<Result<&'static str, SecretError>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Source {
        fn new() -> Self {
            Self { cache: Arc::new(SecretCache::new()), says: Arc::new(Held::new(Ok("one"))), asked: Arc::default() }
        }

        fn say(&self, what: Result<&'static str, SecretError>) {
            *self.says.lock().unwrap() = what;
        }

        async fn get(&self) -> Result<String, SecretError> {
            let read = || async {
                self.asked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(1)).await;
                self.says.lock().unwrap().map(|text| Arc::from([Secret::new(text.to_owned())]))
            };
            self.cache.get(&key(), FRESH, read).await.map(|secrets| secrets[0].expose().to_owned())
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn key() -> Key {
        ("shop-dev".parse().unwrap(), SecretRef::Env { key: "SHOP_DEV_KEY".to_owned() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_who_want_a_secret_at_once_ask_for_it_once() {
        let source = Source::new();
        for answer in futures_util::future::join_all((0..100).map(|_| source.get())).await {
            assert_eq!(answer.unwrap(), "one");
        }
        assert_eq!(source.asked(), 1);
        source.say(Err(SecretError::Missing));
        sleep(FRESH).await;
        for answer in futures_util::future::join_all((0..100).map(|_| source.get())).await {
            assert_eq!(answer.unwrap_err(), SecretError::Missing);
        }
        assert_eq!(source.asked(), 2, "a refusal is shared as well");
    }

    #[tokio::test(start_paused = true)]
    async fn inv_22_who_goes_away_while_asking_leaves_the_question_to_the_next() {
        let source = Source::new();
        let gone = tokio::time::timeout(Duration::from_millis(500), source.get()).await;
        assert!(gone.is_err());
        assert_eq!(source.get().await.unwrap(), "one");
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_read_again_when_its_time_is_over() {
        let source = Source::new();
        source.get().await.unwrap();
        source.say(Ok("two"));
        sleep(FRESH - MOMENT).await;
        assert_eq!(source.get().await.unwrap(), "one");
        sleep(MOMENT).await;
        assert_eq!(source.get().await.unwrap(), "two");
        source.say(Ok("three"));
        source.cache.forget(&key());
        assert_eq!(source.get().await.unwrap(), "three", "what is forgotten is read at once");
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_source_is_away_the_last_answer_serves_for_ten_minutes() {
        let source = Source::new();
        source.get().await.unwrap();
        source.say(Err(SecretError::Unreachable));
        for _ in 0..50 {
            sleep(Duration::from_secs(10)).await;
            assert_eq!(source.get().await.unwrap(), "one");
        }
        sleep(STALE).await;
        assert_eq!(source.get().await.unwrap_err(), SecretError::Unreachable);
        source.say(Ok("back"));
        assert_eq!(source.get().await.unwrap_err(), SecretError::Unreachable, "for a second");
        sleep(REFUSED).await;
        assert_eq!(source.get().await.unwrap(), "back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_that_was_removed_does_not_come_back_when_its_source_goes_away() {
        let source = Source::new();
        source.get().await.unwrap();
        for says in [SecretError::Missing, SecretError::Unreachable] {
            source.say(Err(says));
            sleep(FRESH).await;
            assert_eq!(source.get().await.unwrap_err(), says);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_34_a_source_that_never_answers_is_away() {
        let cache = SecretCache::new();
        let begun = Instant::now();
        let answer = cache.get(&key(), FRESH, std::future::pending).await;
        assert_eq!((answer.unwrap_err(), begun.elapsed()), (SecretError::Unreachable, ANSWERS));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_uses_does_not_stay_in_memory() {
        let source = Source::new();
        source.get().await.unwrap();
        sleep(STALE / 2).await;
        source.cache.purge();
        assert_eq!(source.cache.0.len(), 1);
        sleep(STALE / 2).await;
        source.cache.purge();
        assert_eq!(source.cache.0.len(), 0);
    }
}
