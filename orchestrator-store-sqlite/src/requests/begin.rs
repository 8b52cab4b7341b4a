//! A call under an idempotency key begins, or is found to have begun.

use bytes::Bytes;
use orchestrator_core::store::{Begin, Begun};
use orchestrator_core::types::{ExecutionId, WorkspaceId};

use crate::batch::Batch;
use crate::op::{Failure, Op};
use crate::requests::keys::{self, EXECUTE};
use crate::rows::{bits, hash, time, value};

pub(super) struct Start {
    pub(super) workspace: WorkspaceId,
    pub(super) begin: Begin,
}

impl Op for Start {
    type Answer = Begun;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Begun, Failure> {
        let begin = &self.begin;
        let Some(row) = keys::live(batch, &self.workspace, EXECUTE, &begin.key).await? else {
            keys::put_begun(batch, &self.workspace, begin).await?;
            return Ok(Begun::Fresh);
        };
        if hash(&row, "request_hash")? != begin.request_hash {
            return Ok(Begun::Mismatch);
        }
        if let Some(answer) = value::<Option<Vec<u8>>>(&row, "answer")? {
            return Ok(Begun::Done(Bytes::from(answer)));
        }
        let execution = ExecutionId::from_bits(bits(&row, "execution")?);
        if execution == begin.execution {
            // The same call again: its answer was lost.
            return Ok(Begun::Fresh);
        }
        if time(&row, "valid_until")? > batch.now {
            return Ok(Begun::Running(execution));
        }
        if begin.take_over {
            keys::put_begun(batch, &self.workspace, begin).await?;
            return Ok(Begun::Fresh);
        }
        Ok(Begun::Unknown(execution))
    }
}
