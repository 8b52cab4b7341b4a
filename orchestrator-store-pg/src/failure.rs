//! Why something was not written, and what its caller hears of that: nothing of the database's wording.

use std::sync::Arc;

use orchestrator_core::store::StoreError;

use crate::open::OpenError;
use crate::rows::Unreadable;

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The database said no.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
    /// This cannot be written, whatever the others are.
    #[error("refused: {0}")]
    Refused(String),
    /// What it needs to read cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(Unreadable),
    /// The database did not answer in time.
    #[error("the database did not answer in time")]
    Late,
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

impl Failure {
    /// Whether it is one write's own fault, so that others may be written without it.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Sql(error) => refusal(error).is_some(),
            Self::Refused(_) | Self::Unreadable(_) => true,
            Self::Late => false,
        }
    }

    /// Whether the same may go through at once: two transactions stood in each other's way.
    pub(crate) fn is_collision(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(code(error).as_deref(), Some("40001" | "40P01")))
    }

    /// What each caller of a batch hears that could not be committed.
    pub(crate) fn shared(self: &Arc<Self>) -> StoreError {
        StoreError::unavailable(Arc::clone(self))
    }

    /// What the caller hears.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Sql(error) => store_error(error),
            Self::Refused(why) => StoreError::Refused(why),
            Self::Unreadable(what) => StoreError::Corrupt(what.to_string()),
            Self::Late => StoreError::unavailable(Self::Late),
        }
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Why the database refuses this very row, if that is what happened.
fn refusal(error: &sqlx::Error) -> Option<&'static str> {
    match error {
        sqlx::Error::Encode(_) => Some("a value cannot be stored"),
        _ => match code(error)?.get(..2)? {
            "22" => Some("a value cannot be stored"),
            "23" => Some("it breaks a constraint"),
            "54" => Some("it is too large"),
            _ => None,
        },
    }
}

/// What a failed statement means to a caller.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    if let Some(why) = refusal(&error) {
        return StoreError::Refused(why.to_owned());
    }
    match error {
        error if code(&error).as_deref() == Some("53100") => StoreError::unavailable(OpenError::DiskFull),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt("a row has an unexpected shape".to_owned())
        }
        error => StoreError::unavailable(error),
    }
}
