//! Names: parsed once, impossible to build wrong.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind; the message says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(&'static str);

fn lower_ascii(text: &str, extra: &[u8], max: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || extra.contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.len() <= max && text.bytes().all(inner) && edge(text.as_bytes().first()) && edge(text.as_bytes().last())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr, $problem:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let well_formed: fn(&str) -> bool = $check;
                if well_formed(text) { Ok(Self(text.into())) } else { Err(NameError($problem)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, out)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The tenant: `<product>-<environment>`, as `buildos-dev`.
    WorkspaceId,
    |text| lower_ascii(text, b"-", 63) && text.rsplit_once('-').is_some_and(|(product, env)| !product.is_empty() && !env.is_empty()),
    "a workspace is named `<product>-<environment>`: lower-case letters, digits and `-`, at most 63 characters"
);

impl WorkspaceId {
    /// The environment that the name ends in.
    #[must_use]
    pub fn environment(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(_, environment)| environment)
    }

    /// The product that the name begins with.
    #[must_use]
    pub fn product(&self) -> &str {
        self.0.rsplit_once('-').map_or("", |(product, _)| product)
    }
}

name!(
    /// What is addressed by name within a workspace: a connector, policy, callback, route, secret reference or secret.
    Name,
    |text| lower_ascii(text, b"-_.", 63),
    "a name has lower-case letters, digits, `-`, `_` and `.`, begins and ends with a letter or digit, and is at most 63 characters"
);

name!(
    /// The environment that an install serves: `dev`, `prod`.
    Environment,
    |text| lower_ascii(text, b"", 16),
    "an environment has lower-case letters and digits, at most 16"
);

name!(
    /// A service identity: `svc:<name>`.
    ServiceName,
    |text| text.strip_prefix("svc:").is_some_and(|rest| lower_ascii(rest, b"-_.", 63)),
    "a service identity is named `svc:<name>`, the name of lower-case letters, digits, `-`, `_` and `.`"
);

name!(
    /// An idempotency key: 1 to 255 visible ASCII characters.
    IdempotencyKey,
    |text| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()),
    "an idempotency key has 1 to 255 visible ASCII characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_ends_in_its_environment() -> Result<(), NameError> {
        let workspace: WorkspaceId = "bright-shop-prod".parse()?;
        assert_eq!((workspace.product(), workspace.environment()), ("bright-shop", "prod"));
        for text in ["", "dev", "-dev", "Beauty-dev", "beauty dev", "beauty-", "beauté-dev", "a/b-dev"] {
            assert!(text.parse::<WorkspaceId>().is_err(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert!("a".repeat(255).parse::<IdempotencyKey>().is_ok());
        for text in [String::new(), "a b".into(), "a".repeat(256), "é".into(), "a\n".into()] {
            assert!(text.parse::<IdempotencyKey>().is_err());
        }
    }
}
