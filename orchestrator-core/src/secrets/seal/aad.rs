//! Associated data: fields with their lengths before them, so that no two lists of fields encode alike.

/// What a ciphertext is for. The first field, so that one use never opens as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// A workspace's secret.
    Secret,
    /// A workspace's stored payload.
    Payload,
    /// A workspace's data key.
    DataKey,
    /// The install's own value.
    Install,
}

impl Domain {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Secret => b"orchestrator/secret/1",
            Self::Payload => b"orchestrator/payload/1",
            Self::DataKey => b"orchestrator/data-key/1",
            Self::Install => b"orchestrator/install/1",
        }
    }
}

/// Encodes the fields: each as its length in eight bytes and then itself, behind the number of fields.
pub(super) fn encode(domain: Domain, fields: &[&[u8]]) -> Vec<u8> {
    let size = fields.iter().map(|field| field.len() + 8).sum::<usize>() + domain.label().len() + 16;
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(&(fields.len() as u64).to_be_bytes());
    for field in std::iter::once(&domain.label()).chain(fields) {
        out.extend_from_slice(&(field.len() as u64).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn inv_24_two_lists_of_fields_never_encode_alike(
            one in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..4),
            other in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            let bytes = |list: &[Vec<u8>]| encode(Domain::Secret, &list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(one == other, bytes(&one) == bytes(&other));
        }
    }

    #[test]
    fn inv_24_uses_never_encode_alike() {
        let uses = [Domain::Secret, Domain::Payload, Domain::DataKey, Domain::Install];
        for one in uses {
            for other in uses {
                assert_eq!(one == other, encode(one, &[b"a"]) == encode(other, &[b"a"]));
            }
        }
    }
}
