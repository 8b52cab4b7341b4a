//! What a process does of all that an install does.

use std::fmt;
use std::str::FromStr;

/// The roles of a process. Every process has the ops listener besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves the exec and control APIs, and tokens.
    pub api: bool,
    /// Takes webhooks in.
    pub ingress: bool,
    /// Runs jobs.
    pub worker: bool,
    /// Serves the operator's pages, once there are some.
    pub console: bool,
}

impl Roles {
    /// All of them.
    pub const ALL: Self = Self { api: true, ingress: true, worker: true, console: true };
    const NONE: Self = Self { api: false, ingress: false, worker: false, console: false };
}

impl Default for Roles {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut roles = Self::NONE;
        for role in text.split(',').map(str::trim) {
            match role {
                "api" => roles.api = true,
                "ingress" => roles.ingress = true,
                "worker" => roles.worker = true,
                "console" => roles.console = true,
                _ => return Err("a role is `api`, `ingress`, `worker` or `console`".to_owned()),
            }
        }
        if roles == (Self { console: true, ..Self::NONE }) {
            return Err("this build has no console yet: a process needs another role besides".to_owned());
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("api", self.api), ("ingress", self.ingress), ("worker", self.worker), ("console", self.console)];
        let names: Vec<&str> = named.into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
        out.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written() {
        assert_eq!("api,ingress,worker,console".parse(), Ok(Roles::ALL));
        assert_eq!("worker".parse::<Roles>().unwrap(), Roles { worker: true, ..Roles::NONE });
        assert_eq!(Roles::ALL.to_string(), "api,ingress,worker,console");
        for text in ["", "cook", "api,", "console"] {
            assert!(text.parse::<Roles>().is_err(), "{text:?}");
        }
    }
}
