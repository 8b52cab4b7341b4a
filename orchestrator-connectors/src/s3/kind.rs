//! The `s3` kind.

use std::fmt;
use std::sync::Arc;

use orchestrator_core::connector::typed::{Operation, TypedKind, TypedKindError};
use orchestrator_core::connector::{Connector, ConnectorKind, Idempotency, KindDescription, SecretSlots};
use orchestrator_types::FieldError;
use serde_json::Value;

use super::connector::S3Connector;
use super::input::{CopyInput, DeleteInput, GetInput, HeadInput, PresignInput, PutInput, key_problem};
use super::settings::{S3Settings, SettingsDocument};
use crate::egress::EgressClient;

/// The connector kind `s3`: objects in one bucket of an S3-compatible store, reached through the egress guard.
pub struct S3Kind(TypedKind<SettingsDocument, S3Connector>);

impl S3Kind {
    /// The kind; all its connectors call through `client`.
    #[must_use]
    #[allow(clippy::expect_used, reason = "names and types of ours: the tests build the kind")]
    pub fn new(client: EgressClient) -> Self {
        Self(kind(client).expect("a sound kind"))
    }
}

fn kind(client: EgressClient) -> Result<TypedKind<SettingsDocument, S3Connector>, TypedKindError> {
    let open = move |settings, secrets| S3Connector::new(client.clone(), S3Settings::read(settings)?, secrets);
    TypedKind::builder("s3", "Keeps objects in a bucket of an S3-compatible store.", open)
        .slot("access_key_id")
        .slot("secret_access_key")
        .slot("session_token")
        .operation(
            Operation::new("put", "Puts an object, in parts if it is large.", S3Connector::put)
                .check(|connector, input: &PutInput| input.problems(&connector.settings))
                .idempotent_if(|_, input| input.is_idempotent()),
        )
        .operation(
            Operation::new("get", "Gets an object, or a part of it.", S3Connector::get)
                .check(|connector, input: &GetInput| input.problems(&connector.settings))
                .idempotency(Idempotency::Always),
        )
        .operation(
            Operation::new("head", "Tells what an object is, without its content.", S3Connector::head)
                .check(|connector, input: &HeadInput| key_problem(&connector.settings, "/key", &input.key))
                .idempotency(Idempotency::Always),
        )
        .operation(
            Operation::new("list", "Lists keys, a page at a time.", S3Connector::list).idempotency(Idempotency::Always),
        )
        .operation(
            Operation::new("delete", "Deletes an object.", S3Connector::delete)
                .check(|connector, input: &DeleteInput| key_problem(&connector.settings, "/key", &input.key))
                .idempotency(Idempotency::Always),
        )
        .operation(
            Operation::new("copy", "Copies an object within the bucket.", S3Connector::copy)
                .check(|connector, input: &CopyInput| input.problems(&connector.settings))
                .idempotency(Idempotency::Always),
        )
        .operation(
            Operation::new("presign", "Signs a URL for one request by somebody else.", S3Connector::presign)
                .check(presign_problems)
                .idempotency(Idempotency::Always)
                .shows(&["access_key_id", "session_token"]),
        )
        .health(S3Connector::health)
        .build()
}

fn presign_problems(connector: &S3Connector, input: &PresignInput) -> Vec<FieldError> {
    let mut problems = input.problems(&connector.settings);
    if !connector.signs() {
        problems
            .push(FieldError::new("", "the connector's secret slots are not filled: there is nothing to sign with"));
    }
    problems
}

impl ConnectorKind for S3Kind {
    fn describe(&self) -> KindDescription {
        self.0.describe()
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        self.0.build(settings, secrets)
    }
}

impl fmt::Debug for S3Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("S3Kind")
    }
}
