//! The worker.

use orchestrator_core::worker::WorkerOptions;

pub fn slots(slots: usize) -> WorkerOptions {
    WorkerOptions { slots, ..WorkerOptions::default() }
}
