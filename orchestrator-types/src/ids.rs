//! Ids: a type prefix, `_`, and 26 characters of Crockford base32 over a UUIDv7 (TypeID 0.3), so that they sort by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX: usize = 26;

/// Why a text is not an id of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {prefix} id")]
pub struct IdError {
    prefix: &'static str,
}

impl IdError {
    pub(crate) fn trace() -> Self {
        Self { prefix: "trace" }
    }
}

fn encode(prefix: &str, value: u128, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; SUFFIX];
    let mut rest = value;
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    out.write_str(prefix)?;
    out.write_str("_")?;
    // The alphabet is ASCII, so this never falls back.
    out.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

fn decode(prefix: &'static str, text: &str) -> Result<u128, IdError> {
    let wrong = IdError { prefix };
    let suffix = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or_else(|| wrong.clone())?;
    // The first character carries three bits only: 26 × 5 = 130 bits for 128.
    if suffix.len() != SUFFIX || suffix.as_bytes()[0] > b'7' {
        return Err(wrong);
    }
    let mut value = 0u128;
    for byte in suffix.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == byte).ok_or_else(|| wrong.clone())?;
        value = (value << 5) | digit as u128;
    }
    Ok(value)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(u128);

        impl $name {
            /// The prefix of this type of id.
            pub const PREFIX: &'static str = $prefix;

            /// A new id of this moment; within one process later ids sort after earlier ones.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "an id is an event, not a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7().as_u128())
            }

            /// The id over given bits: for backends that store ids as 16 bytes.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits of the id.
            #[must_use]
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0, out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0, out)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                decode($prefix, text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

id!(/// A synchronous call.
    ExecutionId, "exe");
id!(/// A durable job.
    JobId, "job");
id!(/// An event; also the cursor of the event stream.
    EventId, "evt");
id!(/// An entry of the webhook inbox.
    InboxId, "whk");
id!(/// A record of the request log.
    RequestId, "req");
id!(/// A record of the audit trail.
    AuditId, "aud");
id!(/// A stored payload.
    PayloadId, "pay");

/// Below the 48 bits of an id's time.
const TIME_SHIFT: u32 = 80;

impl PayloadId {
    /// A new id of the moment `unix_ms`.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        Self(Self::first_of(unix_ms).0 | (Self::new().0 & ((1 << TIME_SHIFT) - 1)))
    }

    /// The least id of the moment `unix_ms`: those of moments before it are smaller.
    #[must_use]
    pub fn first_of(unix_ms: u64) -> Self {
        Self(u128::from(unix_ms & 0xffff_ffff_ffff) << TIME_SHIFT)
    }
}

const SEQUENCE_BITS: u32 = 62;

impl EventId {
    /// The id of the event number `sequence` of a workspace, written at `unix_ms`.
    ///
    /// The number lives in the id's last 62 bits (UUIDv7 leaves them free), so that an id is a position in the stream
    /// and a cursor needs no lookup.
    #[must_use]
    pub fn at(unix_ms: u64, sequence: u64) -> Self {
        let time = u128::from(unix_ms & 0xffff_ffff_ffff) << 80;
        let version = 0x7u128 << 76;
        let variant = 0b10u128 << SEQUENCE_BITS;
        Self(time | version | variant | u128::from(sequence & ((1 << SEQUENCE_BITS) - 1)))
    }

    /// The number of the event in its workspace.
    #[must_use]
    pub fn sequence(self) -> u64 {
        // Masked to 62 bits, so it fits.
        (self.0 & ((1 << SEQUENCE_BITS) - 1)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_of_typeid_hold() {
        for (text, uuid) in [
            ("job_00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
            ("job_0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
            ("job_7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            ("job_0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
            ("job_01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ] {
            let bits = Uuid::parse_str(uuid).map(|id| id.as_u128()).unwrap_or_default();
            assert_eq!(text.parse::<JobId>().map(JobId::bits), Ok(bits));
            assert_eq!(JobId::from_bits(bits).to_string(), text);
        }
    }

    #[test]
    fn crooked_ids_are_refused() {
        for text in [
            "",
            "job",
            "job_",
            "exe_01h455vb4pex5vsknk084sn02q",
            "job_81h455vb4pex5vsknk084sn02q",
            "job_01h455vb4pex5vsknk084sn02u",
            "job_01H455VB4PEX5VSKNK084SN02Q",
            "job_é1h455vb4pex5vsknk084sn0q",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_payload_id_sorts_by_its_moment() {
        let (first, second) = (PayloadId::at(1_700_000_000_000), PayloadId::at(1_700_000_000_001));
        assert!(PayloadId::first_of(1_700_000_000_000) <= first && first < PayloadId::first_of(1_700_000_000_001));
        assert!(first < second && PayloadId::at(5) != PayloadId::at(5));
    }

    #[test]
    fn an_event_id_carries_its_number_and_sorts_by_it() {
        let (first, second) = (EventId::at(1_700_000_000_000, 41), EventId::at(1_700_000_000_000, 42));
        assert_eq!(second.sequence(), 42);
        assert!(first < second && first.to_string() < second.to_string());
    }
}
