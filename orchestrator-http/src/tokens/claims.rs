//! What a verified token says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use orchestrator_types::{Timestamp, WorkspaceId, scope};

/// The one refusal: no token, a bad one, one for somebody else. Every cause reads the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a valid bearer token is required")]
pub struct Unauthenticated;

/// Which API a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The exec API: a product's services.
    Exec,
    /// The control API: operators and automation.
    Control,
}

impl Audience {
    /// As it is spelled in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => scope::AUDIENCE_EXEC,
            Self::Control => scope::AUDIENCE_CONTROL,
        }
    }
}

impl FromStr for Audience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            scope::AUDIENCE_EXEC => Ok(Self::Exec),
            scope::AUDIENCE_CONTROL => Ok(Self::Control),
            _ => Err(format!("an audience is `{}` or `{}`", scope::AUDIENCE_EXEC, scope::AUDIENCE_CONTROL)),
        }
    }
}

/// The scopes of a token: exact names, never prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

impl Scopes {
    const MAX: usize = 64;

    /// These scopes.
    pub fn new<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }

    /// The scopes of a space-separated list; `None` if it is not written as RFC 6749 says, or is too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let sound =
            |name: &&str| !name.is_empty() && name.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        let names: Vec<&str> = text.split(' ').collect();
        (names.len() <= Self::MAX && names.iter().all(sound)).then(|| Self::new(names))
    }

    /// Whether this very scope is among them.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|have| have == scope)
    }

    /// Each scope.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join(" "))
    }
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: Arc<str>,
    /// Whether that was this install.
    pub own: bool,
    /// Who calls.
    pub subject: String,
    /// Which API it is for.
    pub audience: Audience,
    /// The tenant; always there on a token of the exec API.
    pub workspace: Option<WorkspaceId>,
    /// What it may do.
    pub scopes: Scopes,
    /// Who acts for the subject, where somebody does.
    pub actor: Option<String>,
    /// Which making of a service identity it was issued to; only own tokens say it.
    pub generation: Option<i64>,
    /// The token's own id, where it has one.
    pub token_id: Option<String>,
    /// When it was issued, where it says.
    pub issued_at: Option<Timestamp>,
    /// When it begins to hold, where it says.
    pub not_before: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
}
