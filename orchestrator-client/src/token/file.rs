//! A token in a file that somebody else renews.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

use super::source::{Token, TokenError, TokenSource};

/// The file is looked at this often at most.
const LOOK: Duration = Duration::from_secs(1);
/// No token is longer, in bytes.
const LIMIT: u64 = 64 * 1024;

/// The token that stands in a file, as a projected token of Kubernetes does. The file is looked at once a second at most, and
/// read again when it was written or replaced; white space around the token does not count.
///
/// While it cannot be read, the token that was read last serves on, until the server rejects it.
pub struct FileToken {
    path: Arc<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(Token, Stamp)>,
    looked_at: Option<Instant>,
}

/// What tells that a file is another than before.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl FileToken {
    /// The token in the file at `path`, which is read when the first call needs it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: Arc::new(path.into()), state: Mutex::default() }
    }

    fn fresh(&self) -> Option<Token> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let looked_at = state.looked_at.filter(|at| at.elapsed() < LOOK);
        state.token.as_ref().filter(|_| looked_at.is_some()).map(|(token, _)| token.clone())
    }

    fn known(&self) -> Option<Stamp> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).token.as_ref().map(|(_, stamp)| *stamp)
    }
}

#[async_trait]
impl TokenSource for FileToken {
    async fn token(&self) -> Result<Token, TokenError> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let (path, known) = (Arc::clone(&self.path), self.known());
        // A file may lie on a disk that hangs: not on a thread that others wait for.
        let looked = tokio::task::spawn_blocking(move || look(&path, known)).await;
        let looked = looked.unwrap_or_else(|_| Err(failed(io::Error::other("the reading was given up"))));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked_at = Some(Instant::now());
        match looked {
            Ok(Some(read)) => state.token = Some(read),
            Ok(None) => {}
            Err(error) if state.token.is_none() => return Err(error),
            Err(error) => tracing::warn!(%error, "the token's file cannot be read: the token read last serves on"),
        }
        state.token.as_ref().map(|(token, _)| token.clone()).ok_or(TokenError::NoSource)
    }

    fn rejected(&self, token: &Token) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.token.as_ref().is_some_and(|(held, _)| held.is(token)) {
            *state = State::default();
        }
    }
}

/// The token and its stamp, if the file is another than the `known` one.
fn look(path: &PathBuf, known: Option<Stamp>) -> Result<Option<(Token, Stamp)>, TokenError> {
    let found = fs::metadata(path).map_err(failed)?;
    let stamp = Stamp { modified: found.modified().ok(), length: found.len() };
    if known == Some(stamp) && stamp.modified.is_some() {
        return Ok(None);
    }
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text)).map_err(failed)?;
    Ok(Some((Token::new(text.trim())?, stamp)))
}

fn failed(error: io::Error) -> TokenError {
    TokenError::Source(Arc::new(error))
}

impl fmt::Debug for FileToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FileToken").field("path", &self.path).finish_non_exhaustive()
    }
}
