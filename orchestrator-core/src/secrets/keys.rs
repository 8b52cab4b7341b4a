//! The install's keys in a running process: read anew without a restart, and never forgotten by it.
//!
//! One rule: a process that has read a key keeps it until it ends, and seals with the same one until it is told otherwise.
//! Whoever edits key files while it runs cannot make it unable to open what it opened before, nor make it seal with what
//! other nodes do not have yet; a key that is gone from the files and still needed is refused at the next start.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::seal::{KeyId, KeyRing};

/// Key files that lack a key are not read more often, however often that key is asked for.
const NOT_AGAIN: Duration = Duration::from_secs(1);

/// Why the keys cannot be read or renewed: one line for the operator, which shows nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeySourceError(pub String);

/// Where the install's keys lie. Its methods may block: they are called on a thread that may.
pub trait KeySource: Send + Sync + 'static {
    /// Reads the keys.
    ///
    /// # Errors
    /// They cannot be read, or are none.
    fn read(&self) -> Result<KeyRing, KeySourceError>;

    /// Draws a new key, keeps it durably where [`read`](Self::read) finds it as the one that seals, with all others
    /// after it, and reads.
    ///
    /// # Errors
    /// It cannot be kept there; nothing has changed then.
    fn renew(&self) -> Result<KeyRing, KeySourceError>;
}

/// The install's keys.
pub struct InstallKeys {
    ring: ArcSwap<KeyRing>,
    source: Option<Arc<dyn KeySource>>,
    /// One reading at a time; when the last one was.
    reading: Mutex<Option<Instant>>,
}

impl InstallKeys {
    /// These keys, and no others while the process runs.
    #[must_use]
    pub fn fixed(ring: Arc<KeyRing>) -> Self {
        Self { ring: ArcSwap::new(ring), source: None, reading: Mutex::default() }
    }

    /// The keys that `source` was just read to hold.
    #[must_use]
    pub fn of(source: Arc<dyn KeySource>, ring: KeyRing) -> Self {
        Self { ring: ArcSwap::from_pointee(ring), source: Some(source), reading: Mutex::default() }
    }

    /// The keys as they are now.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    /// Reads the keys anew; answers which one is to seal. Those that were known stay known, and what sealed still does.
    pub(crate) async fn reload(&self) -> Result<KeyId, KeySourceError> {
        let mut reading = self.reading.lock().await;
        let first = self.take(KeySource::read).await?;
        *reading = Some(Instant::now());
        Ok(first)
    }

    /// Draws a new key; answers which. What sealed still does.
    pub(crate) async fn renew(&self) -> Result<KeyId, KeySourceError> {
        let _reading = self.reading.lock().await;
        self.take(KeySource::renew).await
    }

    /// Seals with this key from now on; false if it is not known.
    pub(crate) async fn promote(&self, id: KeyId) -> bool {
        let _reading = self.reading.lock().await;
        let ring = self.ring();
        if ring.current() != id {
            let Some(promoted) = ring.sealing_with(id) else { return false };
            self.ring.store(Arc::new(promoted));
        }
        true
    }

    /// The keys, read anew if they lack this one: another node may have begun to use what lies in the files meanwhile.
    pub(crate) async fn ring_with(&self, id: KeyId) -> Arc<KeyRing> {
        let ring = self.ring();
        if ring.has(id) || self.source.is_none() {
            return ring;
        }
        let mut reading = self.reading.lock().await;
        let lately = reading.is_some_and(|read_at| read_at.elapsed() < NOT_AGAIN);
        if !self.ring().has(id) && !lately {
            *reading = Some(Instant::now());
            if let Err(error) = self.take(KeySource::read).await {
                tracing::warn!(%error, key = %id, "the keys cannot be read anew");
            }
        }
        self.ring()
    }

    async fn take(&self, how: fn(&dyn KeySource) -> Result<KeyRing, KeySourceError>) -> Result<KeyId, KeySourceError> {
        let fixed = || KeySourceError("the keys of this process are fixed: they were handed to it".to_owned());
        let source = self.source.clone().ok_or_else(fixed)?;
        let read = tokio::task::spawn_blocking(move || how(source.as_ref())).await;
        let read = read.map_err(|_| KeySourceError("reading the keys broke off".to_owned()))??;
        let first = read.current();
        let ring = self.ring();
        let joined = read.joined(&ring);
        self.ring.store(Arc::new(joined.sealing_with(ring.current()).unwrap_or(joined)));
        Ok(first)
    }
}

impl std::fmt::Debug for InstallKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("InstallKeys").field(&self.ring()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Mutex as Held;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::seal::InstallKey;
    use super::*;

    /// Key texts as a file would have them, the sealing one first.
    #[derive(Default)]
    struct File {
        lines: Held<Vec<String>>,
        reads: AtomicUsize,
    }

    impl File {
        fn set(&self, keys: &[&InstallKey]) {
            *self.lines.lock().unwrap() = keys.iter().map(|key| key.to_file_text().expose().to_owned()).collect();
        }
    }

    impl KeySource for File {
        fn read(&self) -> Result<KeyRing, KeySourceError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let lines = self.lines.lock().unwrap();
            let mut keys: Vec<InstallKey> = lines.iter().map(|line| InstallKey::parse(line).unwrap()).collect();
            if keys.is_empty() {
                return Err(KeySourceError("no key".to_owned()));
            }
            let current = keys.remove(0);
            Ok(KeyRing::new(current, keys))
        }

        fn renew(&self) -> Result<KeyRing, KeySourceError> {
            let new = InstallKey::generate().unwrap();
            self.lines.lock().unwrap().insert(0, new.to_file_text().expose().to_owned());
            self.read()
        }
    }

    fn keys() -> (Arc<File>, InstallKeys, InstallKey) {
        let (file, first) = (Arc::new(File::default()), InstallKey::generate().unwrap());
        file.set(&[&first]);
        let keys = InstallKeys::of(file.clone(), file.read().unwrap());
        (file, keys, first)
    }

    #[tokio::test(start_paused = true)]
    async fn inv_24_a_process_never_forgets_a_key_that_it_has_read() {
        let (file, keys, first) = keys();
        let second = InstallKey::generate().unwrap();
        file.set(&[&second]);
        assert_eq!(keys.reload().await.unwrap(), second.id());
        assert_eq!(keys.ring().current(), first.id(), "other nodes may not have the second one yet");
        assert!(keys.promote(second.id()).await);
        file.set(&[]);
        assert!(keys.reload().await.is_err());
        let ring = keys.ring();
        assert_eq!((ring.current(), ring.has(first.id())), (second.id(), true), "a file without a key takes none away");
        let third = keys.renew().await.unwrap();
        assert!([first.id(), second.id(), third].iter().all(|id| keys.ring().has(*id)));
        assert!(!keys.promote(InstallKey::generate().unwrap().id()).await);
        assert_eq!(keys.ring().current(), second.id());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_lacking_is_looked_for_once_a_second() {
        let (file, keys, first) = keys();
        let second = InstallKey::generate().unwrap();
        let before = file.reads.load(Ordering::Relaxed);
        for _ in 0..50 {
            assert!(!keys.ring_with(second.id()).await.has(second.id()));
            keys.ring_with(first.id()).await;
        }
        assert_eq!(file.reads.load(Ordering::Relaxed) - before, 1);
        file.set(&[&first, &second]);
        tokio::time::sleep(NOT_AGAIN).await;
        assert!(keys.ring_with(second.id()).await.has(second.id()), "another node has begun to use it");
        assert_eq!(keys.ring().current(), first.id(), "what stands first seals");
    }

    #[tokio::test]
    async fn keys_that_were_handed_in_are_fixed() {
        let ring = KeyRing::new(InstallKey::generate().unwrap(), Vec::new());
        let keys = InstallKeys::fixed(Arc::new(ring));
        let current = keys.ring().current();
        assert!(keys.renew().await.is_err() && keys.reload().await.is_err());
        assert_eq!(keys.ring_with(InstallKey::generate().unwrap().id()).await.current(), current);
    }
}
