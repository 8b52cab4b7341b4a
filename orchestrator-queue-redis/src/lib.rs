//! Redis as an accelerator: hints of what may be ready, the tokens of limits that nodes share, notices of changed configs, and
//! which idempotency keys were used lately.
//!
//! **The one rule:** nothing here is true. Redis may be flushed, restarted, paused, full or gone at any moment; what is true lies
//! in the store, and everything that depends on Redis works without it, slower or in smaller shares. Only ids and names lie in
//! it: no payload, no secret, no idempotency key, no ownership.
//!
//! [`RedisQueue::connect`] yields the parts. They share connections, which come back by themselves; each wait has a
//! deadline. A single server and a cluster have the same layout: the keys of a workspace are in one slot.

mod check;
mod ear;
mod keys;
mod limits;
mod notices;
mod options;
mod place;
mod queue;
mod scripts;
mod seen;
mod turns;

pub use limits::RedisLimits;
pub use notices::RedisNotices;
pub use options::{OptionsError, RedisOptions};
pub use queue::{ConnectError, RedisParts, RedisQueue};
pub use seen::RedisSeenKeys;
