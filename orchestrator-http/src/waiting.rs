//! How many of a workspace's requests may wait at once: long polls and streams hold what others need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orchestrator_types::WorkspaceId;

use crate::problem::Refusal;

/// Who waits, by workspace.
#[derive(Debug)]
pub(crate) struct Waiting {
    now: Mutex<HashMap<WorkspaceId, usize>>,
    most: usize,
}

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiting: Arc<Waiting>,
    workspace: WorkspaceId,
}

impl Waiting {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { now: Mutex::default(), most })
    }

    /// Lets one more of the workspace wait.
    ///
    /// # Errors
    /// Too many of it do.
    pub(crate) fn enter(self: &Arc<Self>, workspace: &WorkspaceId) -> Result<Waiter, Refusal> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let count = now.entry(workspace.clone()).or_insert(0);
        if *count >= self.most {
            let detail = "too many requests of this workspace wait or stream already";
            return Err(Refusal::too_many(detail, Duration::from_secs(1)));
        }
        *count += 1;
        Ok(Waiter { waiting: self.clone(), workspace: workspace.clone() })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut now = self.waiting.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = now.get_mut(&self.workspace) {
            *count -= 1;
            if *count == 0 {
                now.remove(&self.workspace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_workspace_that_waits_much_keeps_no_other_from_waiting() {
        let waiting = Waiting::new(2);
        let (a, b) = ("a-dev".parse().unwrap(), "b-dev".parse().unwrap());
        let first = waiting.enter(&a).unwrap();
        let _second = waiting.enter(&a).unwrap();
        assert_eq!(waiting.enter(&a).unwrap_err().status().as_u16(), 429);
        assert!(waiting.enter(&b).is_ok());
        drop(first);
        assert!(waiting.enter(&a).is_ok());
        assert_eq!(waiting.now.lock().unwrap().len(), 1);
    }
}
