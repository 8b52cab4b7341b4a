//! Reading: what is handed out is what was stored, or the reader hears that it is lost.
//!
//! A sealed payload proves each frame by itself, so a part of it is read alone. An open one is proven by its hash, so all of it
//! passes by whatever part is wanted. In both the last bytes are held back until the proof is complete: nobody takes a
//! damaged payload for a whole one.

use std::ops::Range;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::time::timeout;

use super::error::PayloadError;
use super::port::ByteStream;
use crate::secrets::seal::{FRAME, FRAME_OVERHEAD, PayloadCipher, frames};

/// How long a backend may take for the next piece.
const PIECE: Duration = Duration::from_secs(30);
const SEALED: usize = FRAME + FRAME_OVERHEAD;

/// The bytes of a payload as they come. An error ends it.
pub type PayloadStream = BoxStream<'static, Result<Bytes, PayloadError>>;

/// What the row says of the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// The next piece of a backend, in time.
async fn piece(body: &mut ByteStream) -> Option<Result<Bytes, PayloadError>> {
    match timeout(PIECE, body.next()).await {
        Ok(next) => next.map(|piece| piece.map_err(PayloadError::unavailable)),
        Err(late) => Some(Err(PayloadError::unavailable(late))),
    }
}

/// Which bytes of the sealed object hold the bytes `wanted` of the payload.
pub(super) fn sealed_range(wanted: &Range<u64>) -> Range<u64> {
    let (frame, sealed) = (FRAME as u64, SEALED as u64);
    let end = wanted.end.div_ceil(frame).max(1);
    (wanted.start / frame) * sealed..end * sealed
}

struct Open {
    body: ByteStream,
    hash: Option<Context>,
    at: u64,
    held: Option<Bytes>,
}

/// The bytes `wanted` of an open payload, from its whole object.
pub(super) fn open(body: ByteStream, expected: Expected, wanted: Range<u64>) -> PayloadStream {
    let start = Open { body, hash: Some(Context::new(&SHA256)), at: 0, held: None };
    let next = move |state: Option<Open>| {
        let wanted = wanted.clone();
        async move {
            let mut state = state?;
            loop {
                match piece(&mut state.body).await {
                    Some(Ok(mut chunk)) => {
                        if let Some(hash) = &mut state.hash {
                            hash.update(&chunk);
                        }
                        let (from, to) = (state.at, state.at + chunk.len() as u64);
                        state.at = to;
                        if to > expected.size {
                            return Some((Err(PayloadError::Lost), None));
                        }
                        let (first, last) = (wanted.start.clamp(from, to), wanted.end.clamp(from, to));
                        chunk.truncate(within(last - from));
                        chunk.advance(within(first - from));
                        if chunk.is_empty() {
                            continue;
                        }
                        if let Some(before) = state.held.replace(chunk) {
                            return Some((Ok(before), Some(state)));
                        }
                    }
                    Some(Err(error)) => return Some((Err(error), None)),
                    None => {
                        let whole = state.at == expected.size;
                        let hash = state.hash.take().map(Context::finish);
                        if !whole || hash.is_none_or(|hash| hash.as_ref() != expected.sha256) {
                            return Some((Err(PayloadError::Lost), None));
                        }
                        return state.held.take().map(|held| (Ok(held), None));
                    }
                }
            }
        }
    };
    stream::unfold(Some(start), next).boxed()
}

struct Sealed {
    body: ByteStream,
    cipher: PayloadCipher,
    waiting: BytesMut,
    number: u64,
    hash: Option<Context>,
    held: Option<Bytes>,
}

/// The bytes `wanted` of a sealed payload, from the part of its object that [`sealed_range`] says.
pub(super) fn sealed(body: ByteStream, cipher: PayloadCipher, expected: Expected, wanted: Range<u64>) -> PayloadStream {
    let whole = wanted.start == 0 && wanted.end == expected.size;
    let start = Sealed {
        body,
        cipher,
        waiting: BytesMut::new(),
        number: wanted.start / FRAME as u64,
        // The frames prove themselves; the hash proves that the row is theirs.
        hash: whole.then(|| Context::new(&SHA256)),
        held: None,
    };
    let end = wanted.end.div_ceil(FRAME as u64).max(1);
    let last = frames(expected.size) - 1;
    let next = move |state: Option<Sealed>| {
        let wanted = wanted.clone();
        async move {
            let mut state = state?;
            loop {
                if state.number == end {
                    let hash = state.hash.take().map(Context::finish);
                    if hash.is_some_and(|hash| hash.as_ref() != expected.sha256) {
                        return Some((Err(PayloadError::Lost), None));
                    }
                    return state.held.take().map(|held| (Ok(held), None));
                }
                while state.waiting.len() < SEALED {
                    match piece(&mut state.body).await {
                        Some(Ok(chunk)) => state.waiting.extend_from_slice(&chunk),
                        Some(Err(error)) => return Some((Err(error), None)),
                        None => break,
                    }
                }
                let length = state.waiting.len().min(SEALED);
                let frame = state.waiting.split_to(length);
                let Ok(mut plain) = state.cipher.open(state.number, state.number == last, frame) else {
                    return Some((Err(PayloadError::Lost), None));
                };
                if let Some(hash) = &mut state.hash {
                    hash.update(&plain);
                }
                let from = state.number * FRAME as u64;
                let to = from + plain.len() as u64;
                state.number += 1;
                plain.truncate(within(wanted.end.clamp(from, to) - from));
                plain.advance(within(wanted.start.clamp(from, to) - from));
                if plain.is_empty() {
                    continue;
                }
                if let Some(before) = state.held.replace(plain) {
                    return Some((Ok(before), Some(state)));
                }
            }
        }
    };
    stream::unfold(Some(start), next).boxed()
}

/// A place inside a chunk: it fits, the chunk is in memory.
fn within(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
