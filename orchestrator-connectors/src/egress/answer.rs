//! What an upstream answered, read within bounds.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use reqwest::Response;

/// The most that is read of an answer if nothing else is said: 8 MiB.
pub(crate) const DEFAULT_BODY_BYTES: usize = 8 << 20;
/// The most that is shown of an answer that is no success: 16 KiB.
pub(crate) const EXCERPT_BYTES: usize = 16 << 10;

/// How much of a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLimit {
    /// All of it, or the call fails: at most so many bytes.
    Whole(usize),
    /// Its first so many bytes; the rest is left unread and the connection closed.
    Beginning(usize),
}

/// How much is read of an answer, by its status. Bytes on the wire: nothing is inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    /// Of a success (2xx).
    pub success: BodyLimit,
    /// Of anything else.
    pub other: BodyLimit,
}

impl Default for EgressLimits {
    /// A success whole, up to 8 MiB; the first 16 KiB of anything else.
    fn default() -> Self {
        Self { success: BodyLimit::Whole(DEFAULT_BODY_BYTES), other: BodyLimit::Beginning(EXCERPT_BYTES) }
    }
}

/// What an upstream answered, whatever its status.
#[derive(Debug, Clone)]
pub struct EgressAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub body: Bytes,
    /// Whether the body goes on beyond what was read.
    pub cut: bool,
}

impl EgressAnswer {
    pub(crate) async fn read(mut response: Response, limits: EgressLimits) -> Result<Self, CallError> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let limit = if status.is_success() { limits.success } else { limits.other };
        let (body, cut) = match limit {
            BodyLimit::Whole(most) if response.content_length().is_some_and(|announced| announced > most as u64) => {
                return Err(too_large(most));
            }
            BodyLimit::Whole(most) => match read_up_to(&mut response, most).await? {
                (_, true) => return Err(too_large(most)),
                whole => whole,
            },
            BodyLimit::Beginning(most) => read_up_to(&mut response, most).await?,
        };
        Ok(Self { status, headers, body, cut })
    }
}

/// Reads up to `most` bytes; true if there are more.
async fn read_up_to(response: &mut Response, most: usize) -> Result<(Bytes, bool), CallError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| broke_off())? {
        let room = most - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body.freeze(), true));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body.freeze(), false))
}

fn too_large(most: usize) -> CallError {
    let detail = format!("the upstream's answer is larger than {most} bytes");
    CallError::new(CallErrorKind::Rejected, Sent::Maybe, detail)
}

fn broke_off() -> CallError {
    CallError::new(CallErrorKind::Failed, Sent::Maybe, "the upstream's answer broke off")
}
