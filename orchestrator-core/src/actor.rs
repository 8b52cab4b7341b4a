//! Who changes something, and in which request: what the audit trail records.

use orchestrator_types::{AuditId, TraceId};
use serde_json::Value;

use crate::error::Error;
use crate::store::NewAudit;

/// The one on whose behalf a change is made.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The subject of the token, or a name of the program's own.
    pub subject: String,
    /// Through whom, where somebody acts for them.
    pub via: Option<String>,
    /// The trace of the request.
    pub trace_id: TraceId,
    /// Whether it is the install's administrator, who may do what no operator of a workspace may.
    pub install_admin: bool,
    /// Whether routes that another workspace holds are to be taken from it. Said in so many words, so that nobody takes one
    /// by mistake; counts only for the install's administrator.
    pub takes_routes: bool,
}

impl Actor {
    /// The program itself, which is its install's administrator.
    pub fn program(name: impl Into<String>) -> Self {
        Self { subject: name.into(), via: None, trace_id: TraceId::new(), install_admin: true, takes_routes: false }
    }

    pub(crate) fn audit(&self, action: &'static str, target: impl ToString) -> NewAudit {
        NewAudit {
            id: AuditId::new(),
            actor: self.subject.clone(),
            via: self.via.clone(),
            action,
            target: target.to_string(),
            reason: None,
            before: None,
            after: None,
            trace_id: self.trace_id,
        }
    }
}

impl NewAudit {
    pub(crate) fn because(mut self, reason: &Reason) -> Self {
        self.reason = Some(reason.0.clone());
        self
    }

    pub(crate) fn change(mut self, before: Option<Value>, after: Option<Value>) -> Self {
        (self.before, self.after) = (before, after);
        self
    }
}

/// Why something is done: 3 to 500 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Takes a reason, trimmed.
    ///
    /// # Errors
    /// It is shorter than 3 characters or longer than 500.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        match text.chars().count() {
            3..=500 => Ok(Self(text.to_owned())),
            _ => Err(Error::invalid("/reason", "say why, in 3 to 500 characters")),
        }
    }
}
