//! The one place that issues tokens and the one function that decides about them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, Header, Validation, decode, encode};
use orchestrator_core::clock::Clock;
use orchestrator_types::{Environment, Timestamp, WorkspaceId};
use quick_cache::sync::Cache;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::claims::{Audience, Claims, Scopes, Unauthenticated};
use super::issuers::{Issuer, IssuerConfig, IssuerError, JwksFetcher};
use super::jwks::{Jwks, VerifyingKey};
use super::reading::{self, OWN_TYPE};
use super::signing::{KeyError, SigningKey, SigningKeys};
use super::strict;

const SKEW: Duration = Duration::from_secs(30);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
const MAX_TOKEN_BYTES: usize = 8 * 1024;
const CACHED_TOKENS: usize = 10_000;

/// A token to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Which API it is for.
    pub audience: Audience,
    /// Who it speaks for.
    pub subject: String,
    /// The tenant; needed for the exec API.
    pub workspace: Option<WorkspaceId>,
    /// What it may do.
    pub scopes: Scopes,
    /// Who acts for the subject, where somebody does.
    pub actor: Option<String>,
    /// Which making of a service identity it is issued to: with that identity it ends.
    pub generation: Option<i64>,
    /// How long it lives: at most an hour.
    pub ttl: Duration,
}

/// Why a token was not issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It would live too long, or not at all.
    #[error("a token lives between one second and one hour")]
    Lifetime,
    /// A token of the exec API names no tenant, or the tenant is of another environment.
    #[error("a token of the exec API names a workspace of this environment")]
    Workspace,
    /// It has no subject, or one that is too long.
    #[error("a subject has 1 to 255 characters, none of them a control character")]
    Subject,
    /// It could not be signed.
    #[error("the token could not be signed")]
    Sign,
}

/// Own tokens on the wire.
#[derive(Serialize)]
struct OwnClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<&'a str>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Actor<'a>>,
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    jti: String,
    iat: i64,
    exp: i64,
}

#[derive(Serialize)]
struct Actor<'a> {
    sub: &'a str,
}

/// The install's own keys, ready for use.
struct Ring {
    current: SigningKey,
    verifying: HashMap<String, (VerifyingKey, Option<Timestamp>)>,
    older: Vec<(SigningKey, Timestamp)>,
}

impl Ring {
    fn of(keys: SigningKeys) -> Result<Self, KeyError> {
        let usable = |key: &SigningKey| VerifyingKey { algorithm: Algorithm::EdDSA, decoding: key.decoding() };
        let mut verifying = HashMap::from([(keys.current.kid().to_owned(), (usable(&keys.current), None))]);
        for older in &keys.older {
            let entry = (usable(&older.key), Some(older.until));
            if verifying.insert(older.key.kid().to_owned(), entry).is_some() {
                return Err(KeyError::Twice);
            }
        }
        let older = keys.older.into_iter().map(|older| (older.key, older.until)).collect();
        Ok(Self { current: keys.current, verifying, older })
    }

    fn key(&self, kid: &str, now: Timestamp) -> Option<VerifyingKey> {
        let (key, until) = self.verifying.get(kid)?;
        until.is_none_or(|until| now < until.after(SKEW)).then(|| key.clone())
    }
}

struct Cached {
    generation: u64,
    kid: String,
    claims: Arc<Claims>,
}

/// Issues the install's own tokens and decides about every token that comes in.
///
/// Share it in an `Arc`. Verified tokens are remembered by their SHA-256, never by themselves, until they expire or a
/// key goes.
pub struct TokenAuthority {
    issuer: Arc<str>,
    environment: Environment,
    clock: Arc<dyn Clock>,
    ring: RwLock<Arc<Ring>>,
    issuers: HashMap<String, (Arc<str>, Arc<Issuer>)>,
    generation: AtomicU64,
    cache: Cache<[u8; 32], Arc<Cached>>,
}

impl std::fmt::Debug for TokenAuthority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TokenAuthority").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Makes a [`TokenAuthority`].
pub struct TokenAuthorityBuilder {
    environment: Environment,
    keys: SigningKeys,
    clock: Arc<dyn Clock>,
    issuers: Vec<IssuerConfig>,
    fetcher: Option<Arc<dyn JwksFetcher>>,
}

impl TokenAuthorityBuilder {
    /// Takes tokens of these issuers too.
    #[must_use]
    pub fn issuers(mut self, issuers: Vec<IssuerConfig>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Fetches key sets by this.
    #[must_use]
    pub fn fetcher(mut self, fetcher: Arc<dyn JwksFetcher>) -> Self {
        self.fetcher = Some(fetcher);
        self
    }

    /// The authority. Reads the key files of issuers; fetches nothing yet.
    ///
    /// # Errors
    /// An issuer is configured twice or for nobody, or its key file holds no usable key; or two own keys are the same.
    pub fn build(self) -> Result<TokenAuthority, IssuerError> {
        let issuer: Arc<str> = format!("orchestrator-{}", self.environment).into();
        let mut issuers = HashMap::new();
        for config in self.issuers {
            let name = config.issuer.clone();
            // Names of that shape are installs: this one, or that of another environment, whose tokens are not for us.
            if name.starts_with("orchestrator-") {
                return Err(IssuerError::Twice(name));
            }
            let entry = (Arc::from(name.as_str()), Arc::new(Issuer::new(config, self.fetcher.clone())?));
            if issuers.insert(name.clone(), entry).is_some() {
                return Err(IssuerError::Twice(name));
            }
        }
        let ring = Ring::of(self.keys).map_err(|_| IssuerError::Keys(issuer.to_string()))?;
        Ok(TokenAuthority {
            issuer,
            environment: self.environment,
            clock: self.clock,
            ring: RwLock::new(Arc::new(ring)),
            issuers,
            generation: AtomicU64::new(0),
            cache: Cache::new(CACHED_TOKENS),
        })
    }
}

impl TokenAuthority {
    /// An authority of this environment with its own keys.
    #[must_use]
    pub fn builder(environment: Environment, keys: SigningKeys, clock: Arc<dyn Clock>) -> TokenAuthorityBuilder {
        TokenAuthorityBuilder { environment, keys, clock, issuers: Vec::new(), fetcher: None }
    }

    /// The `iss` of the install's own tokens: it names the environment.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The install's public keys that still verify something.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        let (ring, now) = (self.ring(), self.clock.now());
        let older = ring.older.iter().filter(|(_, until)| now < until.after(SKEW)).map(|(key, _)| key);
        Jwks::of(std::iter::once(&ring.current).chain(older))
    }

    /// Replaces the install's own keys. What an absent key has verified is verified again, and refused.
    ///
    /// # Errors
    /// Two keys are the same; then nothing has changed.
    pub fn set_keys(&self, keys: SigningKeys) -> Result<(), KeyError> {
        let ring = Arc::new(Ring::of(keys)?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Reads the key sets of every other issuer anew, so that keys that went away stop verifying. Call it every few
    /// minutes. Dropping the future leaves those not yet read as they were.
    pub async fn refresh(&self) {
        for (_, issuer) in self.issuers.values() {
            if issuer.refresh().await {
                self.generation.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// A new token, signed with the current key.
    ///
    /// # Errors
    /// It would live too long, lacks its workspace or subject, or cannot be signed.
    pub fn issue(&self, new: &NewToken) -> Result<String, TokenError> {
        if new.ttl > MAX_LIFETIME || new.ttl < Duration::from_secs(1) {
            return Err(TokenError::Lifetime);
        }
        let foreign = |workspace: &WorkspaceId| workspace.environment() != self.environment.as_str();
        match &new.workspace {
            None if new.audience == Audience::Exec => return Err(TokenError::Workspace),
            Some(workspace) if foreign(workspace) => return Err(TokenError::Workspace),
            _ => {}
        }
        if !reading::is_text(&new.subject) || new.actor.as_deref().is_some_and(|actor| !reading::is_text(actor)) {
            return Err(TokenError::Subject);
        }
        let mut id = [0u8; 16];
        rand::fill(&mut id).map_err(|_| TokenError::Sign)?;
        let now = self.clock.now();
        let claims = OwnClaims {
            iss: &self.issuer,
            sub: &new.subject,
            aud: new.audience.as_str(),
            tid: new.workspace.as_ref().map(WorkspaceId::as_str),
            scope: new.scopes.to_string(),
            act: new.actor.as_deref().map(|sub| Actor { sub }),
            generation: new.generation,
            jti: BASE64URL_NOPAD.encode(&id),
            iat: now.unix_seconds(),
            exp: now.unix_seconds() + i64::try_from(new.ttl.as_secs()).map_err(|_| TokenError::Lifetime)?,
        };
        let ring = self.ring();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(OWN_TYPE.to_owned());
        header.kid = Some(ring.current.kid().to_owned());
        encode(&header, &claims, ring.current.encoding()).map_err(|_| TokenError::Sign)
    }

    /// Decides about a token for one of the APIs. Dropping the future decides nothing.
    ///
    /// # Errors
    /// The one refusal, whatever the cause.
    pub async fn verify(&self, token: &str, audience: Audience) -> Result<Arc<Claims>, Unauthenticated> {
        self.decide(token, audience).await.ok_or(Unauthenticated)
    }

    /// The moment by the clock that decides about tokens.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether what was verified once still lies within its time: for streams that outlive their request.
    #[must_use]
    pub fn in_time(&self, claims: &Claims) -> bool {
        in_time(claims, self.clock.now())
    }

    async fn decide(&self, token: &str, audience: Audience) -> Option<Arc<Claims>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut fingerprint = [0u8; 32];
        fingerprint.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        // Read before the keys: whoever changes them changes it after, so a stale key never gets the new number.
        let generation = self.generation.load(Ordering::Acquire);
        let now = self.clock.now();
        let cached = self.cache.get(&fingerprint).filter(|cached| cached.generation == generation);
        let cached = match cached {
            Some(cached) => cached,
            None => {
                let (kid, claims) = self.read(token, now).await?;
                let cached = Arc::new(Cached { generation, kid, claims: Arc::new(claims) });
                self.cache.insert(fingerprint, cached.clone());
                cached
            }
        };
        let claims = &cached.claims;
        // An older key's last moment passes without anybody changing the keys.
        let key_lives = !claims.own || self.ring().key(&cached.kid, now).is_some();
        if !key_lives || !in_time(claims, now) {
            self.cache.remove(&fingerprint);
            return None;
        }
        (claims.audience == audience).then(|| claims.clone())
    }

    /// Everything about a token that does not depend on who asks.
    async fn read(&self, token: &str, now: Timestamp) -> Option<(String, Claims)> {
        let mut parts = token.split('.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || signature.is_empty() {
            return None;
        }
        let header = strict::object(&BASE64URL_NOPAD.decode(header.as_bytes()).ok()?)?;
        let (algorithm, kid) = reading::header(&header)?;
        let payload = strict::object(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?)?;
        let issuer = payload.get("iss")?.as_str()?;
        let own = issuer == &*self.issuer;
        let (issuer, key, audiences) = if own {
            (self.issuer.clone(), self.ring().key(kid, now)?, &[Audience::Exec, Audience::Control][..])
        } else {
            let (name, issuer) = self.issuers.get(issuer)?;
            (name.clone(), issuer.key(kid).await?, issuer.audiences())
        };
        if key.algorithm != algorithm || (own && header.get("typ")?.as_str()? != OWN_TYPE) {
            return None;
        }
        verified(token, &key, &issuer, audiences)?;
        Some((kid.to_owned(), self.claims(&payload, issuer, own, audiences)?))
    }

    /// What the payload says, if it may say so to us.
    fn claims(
        &self,
        payload: &Map<String, Value>,
        issuer: Arc<str>,
        own: bool,
        audiences: &[Audience],
    ) -> Option<Claims> {
        let audience = reading::audience(payload.get("aud")?, own, audiences)?;
        let workspace = reading::optional(payload, "tid", |tid| tid.as_str()?.parse::<WorkspaceId>().ok())?;
        let claims = Claims {
            issuer,
            own,
            subject: reading::text(payload.get("sub")?)?,
            audience,
            workspace,
            scopes: reading::optional(payload, "scope", |scope| Scopes::parse(scope.as_str()?))?.unwrap_or_default(),
            actor: reading::optional(payload, "act", reading::actor)?,
            generation: if own { reading::optional(payload, "gen", Value::as_i64)? } else { None },
            token_id: reading::optional(payload, "jti", reading::text)?,
            issued_at: reading::optional(payload, "iat", reading::date)?,
            not_before: reading::optional(payload, "nbf", reading::date)?,
            expires_at: reading::date(payload.get("exp")?)?,
        };
        let home = match &claims.workspace {
            Some(workspace) => workspace.environment() == self.environment.as_str(),
            None => audience == Audience::Control,
        };
        let short = |issued: Timestamp| issued < claims.expires_at && claims.expires_at.since(issued) <= MAX_LIFETIME;
        let well_made = !own || (claims.token_id.is_some() && claims.issued_at.is_some_and(short));
        (home && well_made).then_some(claims)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Verifies the signature with the one algorithm of the key, and `iss` and `aud` once more by the library's rules.
///
/// The library's clock is the system's, so times are left to [`in_time`], which follows ours.
fn verified(token: &str, key: &VerifyingKey, issuer: &str, audiences: &[Audience]) -> Option<()> {
    let mut validation = Validation::new(key.algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&audiences.iter().map(|audience| audience.as_str()).collect::<Vec<_>>());
    validation.validate_exp = false;
    decode::<IgnoredAny>(token, &key.decoding, &validation).ok().map(drop)
}

/// Whether now lies within the token's time, give or take the skew between two clocks.
fn in_time(claims: &Claims, now: Timestamp) -> bool {
    let begun = |moment: Option<Timestamp>| moment.is_none_or(|moment| moment <= now.after(SKEW));
    now < claims.expires_at.after(SKEW) && begun(claims.not_before) && begun(claims.issued_at)
}
