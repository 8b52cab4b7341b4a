//! What was found.

use serde::Serialize;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    /// As it should be.
    Ok,
    /// It works, and may hurt later.
    Warn,
    /// The server does not start or work like this.
    Fail,
}

impl Mark {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was examined.
    pub(crate) check: &'static str,
    /// How it stands.
    #[serde(rename = "result")]
    pub(crate) mark: Mark,
    /// In words, and what to do.
    pub(crate) detail: String,
}

impl Finding {
    pub(crate) fn new(check: &'static str, mark: Mark, detail: impl Into<String>) -> Self {
        Self { check, mark, detail: detail.into() }
    }
}
