//! One thing to write: a value that can be applied to a transaction, and again to the next if the first did not hold.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::batch::Batch;
use crate::rows::Unreadable;

/// A write. It may be applied several times to different transactions, of which at most one commits.
pub(crate) trait Op: Send + Sync + 'static {
    /// What its caller gets once the transaction has committed.
    type Answer: Send + 'static;

    /// About how many bytes it writes.
    fn weight(&self) -> usize {
        0
    }

    /// Writes. Expectations that do not hold are answers; an error undoes the whole transaction.
    fn apply(&self, batch: &mut Batch<'_>) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// Why an operation could not be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The database said no.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
    /// This operation cannot be written, whatever the others are.
    #[error("refused: {0}")]
    Refused(String),
    /// What it needs to read cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(Unreadable),
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

impl Failure {
    /// Whether it is this operation's own fault, so that others may be applied without it.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Sql(error) => refusal(error).is_some(),
            Self::Refused(_) | Self::Unreadable(_) => true,
        }
    }

    /// What each caller of a batch hears that could not be committed.
    pub(crate) fn shared(self: &Arc<Self>) -> StoreError {
        match self.as_ref() {
            Self::Sql(error) if is_damage(error) => damaged(),
            _ => StoreError::unavailable(Arc::clone(self)),
        }
    }

    /// What the caller hears. Nothing of the database's wording is in it.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Sql(error) => store_error(error),
            Self::Refused(why) => StoreError::Refused(why),
            Self::Unreadable(what) => StoreError::Corrupt(what.to_string()),
        }
    }
}

const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

fn code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    // The low byte is the primary result code.
    Some(code & 0xff)
}

/// Why the database refuses this very row, if that is what happened.
fn refusal(error: &sqlx::Error) -> Option<&'static str> {
    match error {
        sqlx::Error::Encode(_) => Some("a value cannot be stored"),
        _ => match code(error)? {
            TOO_BIG => Some("it is too large"),
            CONSTRAINT => Some("it breaks a constraint"),
            MISMATCH => Some("a value has the wrong type"),
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
        error if is_damage(&error) => damaged(),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt("a row has an unexpected shape".to_owned())
        }
        error => StoreError::unavailable(error),
    }
}

fn is_damage(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(CORRUPT | NOT_A_DATABASE))
}

fn damaged() -> StoreError {
    StoreError::Corrupt("the database file is damaged".to_owned())
}

/// An operation on its way, as the writer sees it.
#[async_trait]
pub(crate) trait Work: Send {
    /// About how many bytes it writes.
    fn weight(&self) -> usize;
    /// Applies it, and keeps the answer.
    async fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Failure>;
    /// The transaction has committed: tells the caller.
    fn succeed(self: Box<Self>);
    /// It was not written: tells the caller.
    fn fail(self: Box<Self>, error: StoreError);
}

/// An operation with its caller. The caller may be gone: that changes nothing.
pub(crate) struct Pending<O: Op> {
    op: O,
    answer: Option<O::Answer>,
    reply: oneshot::Sender<Result<O::Answer, StoreError>>,
    _room: OwnedSemaphorePermit,
}

impl<O: Op> Pending<O> {
    pub(crate) fn new(
        op: O,
        reply: oneshot::Sender<Result<O::Answer, StoreError>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { op, answer: None, reply, _room: room }
    }
}

#[async_trait]
impl<O: Op> Work for Pending<O> {
    fn weight(&self) -> usize {
        self.op.weight()
    }

    async fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        self.answer = None;
        self.answer = Some(self.op.apply(batch).await?);
        Ok(())
    }

    fn succeed(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // A caller that went away does not want it.
            let _ = self.reply.send(Ok(answer));
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}
