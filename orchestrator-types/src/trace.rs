//! The trace id: 32 lower-case hex digits, as in W3C Trace Context.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::IdError;

/// Names one story from the first call to the last callback; on every record and on every outbound call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct TraceId(u128);

impl TraceId {
    /// A new random trace id.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "an id is an event, not a default")]
    pub fn new() -> Self {
        Self(Uuid::new_v4().as_u128())
    }

    /// The trace id of a `traceparent` header (W3C Trace Context, version 00), or `None` if it is not well formed.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let sound = hex(version, 2)
            && version != "ff"
            && hex(parent, 16)
            && hex(flags, 2)
            && (version != "00" || parts.next().is_none());
        if !sound || parent.bytes().all(|byte| byte == b'0') {
            return None;
        }
        trace.parse().ok()
    }

    /// A `traceparent` header for an outbound call of this trace, with a new parent id.
    #[must_use]
    pub fn traceparent(self) -> String {
        // A UUIDv4's version bits make this never zero, as the specification asks.
        let parent = (Uuid::new_v4().as_u128() >> 64) as u64;
        format!("00-{self}-{parent:016x}-01")
    }

    /// The 128 bits of the id.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The id over given bits.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for TraceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let sound = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(bits) if sound && bits != 0 => Ok(Self(bits)),
            _ => Err(IdError::trace()),
        }
    }
}

impl TryFrom<String> for TraceId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_strictly() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            TraceId::from_traceparent(good).map(|id| id.to_string()).as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        for bad in [
            "",
            "00",
            "00-0-0-0",
            &good.to_uppercase(),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &format!("{good}-x"),
            &good.replacen("00", "ff", 1),
        ] {
            assert_eq!(TraceId::from_traceparent(bad), None, "{bad}");
        }
        let ours = TraceId::new();
        assert_eq!(TraceId::from_traceparent(&ours.traceparent()), Some(ours));
    }
}
