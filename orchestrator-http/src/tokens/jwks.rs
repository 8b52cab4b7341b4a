//! Public keys: those we show, and those of others that we take in. Whatever is weak or unknown in a foreign set is
//! left out, so that it can verify nothing.

use std::collections::HashMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Serialize;
use serde_json::{Map, Value};

use super::signing::SigningKey;
use super::strict;

/// The longest key id that is looked up.
pub(super) const MAX_KID: usize = 128;
const MAX_SET_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 64;
const MIN_RSA_BYTES: usize = 256;
const MAX_RSA_BYTES: usize = 1024;

/// A public key of ours, as `GET /.well-known/jwks.json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct PublicKey {
    /// `OKP`.
    kty: &'static str,
    /// `Ed25519`.
    crv: &'static str,
    /// The key.
    x: String,
    /// Its id.
    kid: String,
    /// `EdDSA`.
    alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    usage: &'static str,
}

/// The install's public keys (RFC 7517): the one that signs now, and those whose tokens still live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Jwks {
    /// The keys, the current first.
    keys: Vec<PublicKey>,
}

impl Jwks {
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a SigningKey>) -> Self {
        let shown = |key: &SigningKey| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            x: key.public_x(),
            kid: key.kid().to_owned(),
            alg: "EdDSA",
            usage: "sig",
        };
        Self { keys: keys.map(shown).collect() }
    }

    /// The ids of the keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.kid.as_str())
    }
}

/// A key that verifies, and the one algorithm that it does it with.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl VerifyingKey {
    /// Whether it is the same key, for the same algorithm.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same = match (self.decoding.kind(), other.decoding.kind()) {
            (DecodingKeyKind::SecretOrDer(one), DecodingKeyKind::SecretOrDer(two)) => one == two,
            (
                DecodingKeyKind::RsaModulusExponent { n: one, .. },
                DecodingKeyKind::RsaModulusExponent { n: two, .. },
            ) => one == two,
            _ => false,
        };
        same && self.algorithm == other.algorithm
    }
}

/// The spelling of the asymmetric algorithms that are known here; every other one is refused.
pub(super) fn algorithm_of(name: &str) -> Option<Algorithm> {
    Some(match name {
        "EdDSA" => Algorithm::EdDSA,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        _ => return None,
    })
}

/// The usable keys of a key set by their ids; `None` if it is no key set at all.
pub(super) fn read_set(text: &[u8]) -> Option<HashMap<String, VerifyingKey>> {
    if text.len() > MAX_SET_BYTES {
        return None;
    }
    let set = strict::object(text)?;
    let mut keys = HashMap::new();
    for key in set.get("keys")?.as_array()?.iter().take(MAX_KEYS) {
        let Some((kid, key)) = key.as_object().and_then(|key| Some((kid(key)?, read_key(key)?))) else { continue };
        // Of two keys with one id the first counts, so that a later one cannot take its place.
        keys.entry(kid).or_insert(key);
    }
    Some(keys)
}

fn kid(key: &Map<String, Value>) -> Option<String> {
    let kid = key.get("kid")?.as_str()?;
    (!kid.is_empty() && kid.len() <= MAX_KID).then(|| kid.to_owned())
}

/// One public key (JWK); `None` if it is private, weak, unknown, or not for signatures.
pub(super) fn read_key(key: &Map<String, Value>) -> Option<VerifyingKey> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let for_signatures = key.get("use").is_none_or(|usage| usage == "sig")
        && key.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
    if !for_signatures || ["d", "p", "q", "k", "oth"].iter().any(|name| key.contains_key(*name)) {
        return None;
    }
    let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
    let (default, decoding) = match (text("kty")?, text("crv")) {
        ("OKP", Some("Ed25519")) => {
            let public = bytes("x")?;
            parses(&ED25519, &public)?;
            (Algorithm::EdDSA, DecodingKey::from_ed_der(&public))
        }
        ("EC", Some(curve)) => {
            let (algorithm, check, width): (_, &'static dyn VerificationAlgorithm, _) = match curve {
                "P-256" => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32),
                "P-384" => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48),
                _ => return None,
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != width || y.len() != width {
                return None;
            }
            let point = [&[4u8][..], &x, &y].concat();
            parses(check, &point)?;
            (algorithm, DecodingKey::from_ec_der(&point))
        }
        ("RSA", None) => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let sound = (MIN_RSA_BYTES..=MAX_RSA_BYTES).contains(&modulus.len())
                && modulus.first().is_some_and(|byte| *byte >= 0x80)
                && matches!(exponent.as_slice(), [1, 0, 1]);
            if !sound {
                return None;
            }
            (Algorithm::RS256, DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        _ => return None,
    };
    let algorithm = match key.get("alg") {
        None => default,
        Some(name) => algorithm_of(name.as_str()?)?,
    };
    // An elliptic curve goes with one algorithm only; RSA with six of one family.
    let fits = algorithm == default || (default == Algorithm::RS256 && algorithm.family() == default.family());
    fits.then_some(VerifyingKey { algorithm, decoding })
}

/// Whether it is a point of the curve at all.
fn parses(algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) -> Option<()> {
    ParsedPublicKey::new(algorithm, public).ok().map(drop)
}
