//! The queue, where there is one beside the store.

use orchestrator_core::queue::{JobQueue, Level};
use orchestrator_queue_redis::RedisQueue;

use super::{Finding, Mark};
use crate::settings::{QueuePlace, Settings};

const CHECK: &str = "queue";

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let QueuePlace::Redis(options) = &settings.queue else {
        return vec![Finding::new(CHECK, Mark::Ok, "the store hands out jobs by itself")];
    };
    let redis = match RedisQueue::connect(options).await {
        Ok(parts) => parts.queue,
        Err(error) => return vec![Finding::new(CHECK, Mark::Fail, error.to_string())],
    };
    let found = match redis.check().await {
        Ok(found) => found,
        Err(error) => {
            let names = options.names();
            let detail =
                format!("Redis at {names}: {error}; nodes work without it, slower: check host, port and that it runs");
            return vec![Finding::new(CHECK, Mark::Fail, detail)];
        }
    };
    let found = found.into_iter().map(|finding| {
        let mark = match finding.level {
            Level::Good => Mark::Ok,
            Level::Warning => Mark::Warn,
            Level::Bad => Mark::Fail,
        };
        Finding::new(CHECK, mark, finding.line)
    });
    found.collect()
}
