//! Who says which jobs may be ready.

use orchestrator_queue_redis::RedisOptions;
use orchestrator_types::Environment;

use super::check::Checked;
use super::sources::Layered;

const URL: &str = "queue.url";

/// Who says which jobs may be ready. Whose they are to run, the store says either way.
#[derive(Debug, Clone)]
pub enum QueuePlace {
    /// `store`: the store itself.
    Store,
    /// `redis://…`: hints, shared limits and notices in Redis. It holds the password, and is not printed with it.
    Redis(RedisOptions),
}

pub(super) fn check(layered: &Layered, environment: &Environment) -> Checked<QueuePlace> {
    match layered.document.queue.url.as_deref() {
        None | Some("store") => Ok(QueuePlace::Store),
        Some(url) if url.starts_with("redis://") || url.starts_with("rediss://") => {
            let options = RedisOptions::parse(url, environment.as_str());
            options.map(QueuePlace::Redis).map_err(|error| layered.unusable(URL, error.to_string()))
        }
        Some(_) => Err(layered.unusable(URL, "`store` or redis://[<user>:<password>@]<host>[:<port>] is expected")),
    }
}
