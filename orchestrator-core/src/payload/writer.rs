//! Writing: what passes through is counted, hashed and sealed, a frame at a time.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::error::PayloadError;
use super::port::{Broken, ByteStream};
use crate::secrets::seal::{FRAME, FRAME_OVERHEAD, PayloadCipher};

/// What is known of a payload once all of it has passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// The stream to store, and where to look, once the backend has read it to its end, what it was.
pub(super) fn passing(
    body: ByteStream,
    max: u64,
    cipher: Option<PayloadCipher>,
) -> (ByteStream, Arc<OnceLock<Passed>>) {
    let passed = Arc::new(OnceLock::new());
    let counted = counted(body, max, passed.clone());
    let stream = match cipher {
        None => counted,
        Some(cipher) => sealed(counted, cipher),
    };
    (stream, passed)
}

struct Counting {
    body: ByteStream,
    hash: Context,
    size: u64,
}

fn counted(body: ByteStream, max: u64, passed: Arc<OnceLock<Passed>>) -> BoxStream<'static, Result<Bytes, Broken>> {
    let start = Some(Counting { body, hash: Context::new(&SHA256), size: 0 });
    stream::unfold(start, move |state| {
        let passed = passed.clone();
        async move {
            let mut state = state?;
            match state.body.next().await {
                Some(Ok(chunk)) => {
                    state.size = state.size.saturating_add(chunk.len() as u64);
                    if state.size > max {
                        return Some((Err(PayloadError::TooLarge { max }.into()), None));
                    }
                    state.hash.update(&chunk);
                    Some((Ok(chunk), Some(state)))
                }
                Some(Err(broken)) => Some((Err(broken), None)),
                None => {
                    let mut sha256 = [0; 32];
                    sha256.copy_from_slice(state.hash.finish().as_ref());
                    // Set once: this branch ends the stream.
                    let _ = passed.set(Passed { size: state.size, sha256 });
                    None
                }
            }
        }
    })
    .boxed()
}

struct Sealing {
    body: ByteStream,
    cipher: PayloadCipher,
    waiting: BytesMut,
    number: u64,
}

/// Seals frame by frame. A frame leaves only when something follows it or all has ended: the last one is marked.
fn sealed(body: ByteStream, cipher: PayloadCipher) -> ByteStream {
    let start = Some(Sealing { body, cipher, waiting: BytesMut::new(), number: 0 });
    stream::unfold(start, |state| async move {
        let mut state = state?;
        while state.waiting.len() <= FRAME {
            match state.body.next().await {
                Some(Ok(chunk)) => state.waiting.extend_from_slice(&chunk),
                Some(Err(broken)) => return Some((Err(broken), None)),
                None => {
                    let rest = std::mem::take(&mut state.waiting);
                    let frame = state.cipher.seal(state.number, true, rest).map_err(PayloadError::unavailable);
                    return Some((frame.map_err(Into::into), None));
                }
            }
        }
        // A buffer of its own, with room for the tag.
        let mut frame = BytesMut::with_capacity(FRAME + FRAME_OVERHEAD);
        frame.extend_from_slice(&state.waiting.split_to(FRAME));
        let sealed = state.cipher.seal(state.number, false, frame).map_err(PayloadError::unavailable);
        state.number += 1;
        match sealed {
            Ok(frame) => Some((Ok(frame), Some(state))),
            Err(error) => Some((Err(error.into()), None)),
        }
    })
    .boxed()
}
