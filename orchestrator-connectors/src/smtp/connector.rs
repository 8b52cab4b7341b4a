//! One `smtp` connector of a workspace.

use std::sync::Arc;

use orchestrator_core::connector::{CallContext, CallError, CallErrorKind, SecretSlots, Sent};
use orchestrator_types::FieldError;

use super::attachments::contents;
use super::connection::Login;
use super::input::{SendInput, SendOutput, check};
use super::message::write;
use super::pool::Pool;
use super::settings::SmtpSettings;
use crate::egress::EgressClient;

pub(super) struct SmtpConnector {
    pool: Pool,
    secrets: SecretSlots,
}

impl SmtpConnector {
    /// # Errors
    /// Slots are filled that do not go together.
    pub(super) fn new(
        client: EgressClient,
        settings: SmtpSettings,
        secrets: SecretSlots,
    ) -> Result<Self, Vec<FieldError>> {
        if secrets.has("username") != secrets.has("password") {
            return Err(vec![FieldError::new("", "fill both of the slots `username` and `password`, or neither")]);
        }
        Ok(Self { pool: Pool::new(client, Arc::new(settings)), secrets })
    }

    pub(super) fn check(&self, input: &SendInput) -> Vec<FieldError> {
        check(self.pool.settings(), input)
    }

    pub(super) fn dedupes(&self) -> bool {
        self.pool.settings().dedupes
    }

    /// Sends a message.
    pub(super) async fn send(self: Arc<Self>, context: CallContext, input: SendInput) -> Result<SendOutput, CallError> {
        let settings = self.pool.settings();
        // Before a connection is taken: reading payloads may last, and may fail.
        let contents = contents(settings, &context, &input).await?;
        let message = write(settings, &context, &input, contents).map_err(unsendable)?;
        if message.bytes.len() > settings.max_message_bytes {
            return Err(too_large());
        }
        let mut lease = self.pool.take(self.login().await?).await?;
        let sent = lease.connection.send(&message, input.all_or_nobody, settings.reply_timeout).await;
        let taken = lease.connection.without_login(sent)?;
        lease.give_back();
        Ok(SendOutput { message_id: message.id, accepted: taken.accepted, refused: taken.refused, reply: taken.reply })
    }

    /// Asks whether the server lets us in.
    pub(super) async fn health(self: Arc<Self>, _: CallContext) -> Result<(), CallError> {
        self.pool.take(self.login().await?).await?.give_back();
        Ok(())
    }

    async fn login(&self) -> Result<Option<Login>, CallError> {
        let username = self.secrets.get("username").await.map_err(|_| unavailable("username"))?;
        let password = self.secrets.get("password").await.map_err(|_| unavailable("password"))?;
        Ok(username.zip(password).map(|(username, password)| Login { username, password }))
    }
}

fn unavailable(slot: &str) -> CallError {
    CallError::new(CallErrorKind::SecretUnavailable, Sent::No, format!("the secret slot `{slot}` cannot be read now"))
}

pub(super) fn too_large() -> CallError {
    unsendable("the message is larger than the settings let it be")
}

pub(super) fn unsendable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, detail)
}
