//! What the benchmarks share: an install on a backend of choice, callers in a closed loop, rounds and their report.

pub mod calls;
pub mod durable;
pub mod install;
pub mod measure;
pub mod noise;
pub mod options;
pub mod peers;
pub mod product;
pub mod queue;
pub mod report;
pub mod wire;

/// The server's allocator: what is measured is what ships.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any error: a benchmark that cannot run says why and ends.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;
