//! [`ConfigNotices`]: one node tells the others that something of the control plane changed.

use async_trait::async_trait;

/// Tells the other nodes that control records changed, so that they look at once. All is correct without it: nodes look by
/// themselves twice a second.
#[async_trait]
pub trait ConfigNotices: Send + Sync + 'static {
    /// Tells them. Best effort, and done within a few seconds.
    async fn tell(&self);

    /// Waits until another node, or this one, told; or something may have been missed. What is told while nobody waits is
    /// kept, once. Dropping the future loses nothing.
    async fn heard(&self);
}
