//! The input and output of `send`, as documents, and what their schemas cannot say.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::headers::check_headers;
use super::settings::SmtpSettings;
use crate::payloads::PayloadName;

/// Recipients of all kinds together.
const RECIPIENTS: usize = 100;

/// A message. `text`, `html`, or both as alternatives of each other.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SmtpMessage", extend("examples" = [{
    "from": "Shop <shop@shop.example>", "to": ["Anna <anna@home.example>"], "subject": "Your invoice",
    "text": "The invoice is attached.",
    "attachments": [{"filename": "invoice.pdf", "content_type": "application/pdf", "content_base64": "JVBERi0xLjcK"}]
}]))]
pub(super) struct SendInput {
    /// The sender: `a@b.example` or `Name <a@b.example>`. If absent: the settings' `from`.
    #[schemars(length(max = 320))]
    pub(super) from: Option<String>,
    /// Where answers go, if not to the sender.
    #[schemars(length(max = 320))]
    pub(super) reply_to: Option<String>,
    /// Recipients.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(super) to: Vec<String>,
    /// Recipients of a copy.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(super) cc: Vec<String>,
    /// Recipients whom the others do not see.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(super) bcc: Vec<String>,
    /// The subject.
    #[schemars(length(max = 998))]
    pub(super) subject: String,
    /// The body as plain text.
    pub(super) text: Option<String>,
    /// The body as HTML.
    pub(super) html: Option<String>,
    /// Attached files.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(super) attachments: Vec<Attachment>,
    /// Further headers: `X-…`, `In-Reply-To`, `References`, `List-Id`, `List-Unsubscribe`, `List-Unsubscribe-Post`,
    /// `Auto-Submitted`, `Precedence`, `Importance`, `Priority`, `Sensitivity`, `Feedback-ID`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(super) headers: BTreeMap<String, String>,
    /// Whether the message goes to nobody if the server refuses one of the recipients. If not, it goes to the others,
    /// and the output tells who was refused.
    #[serde(default)]
    pub(super) all_or_nobody: bool,
}

/// An attached file. One of `content_base64` and `payload_ref` gives its bytes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SmtpAttachment")]
pub(super) struct Attachment {
    /// Its name, without a path.
    #[schemars(length(min = 1, max = 255))]
    pub(super) filename: String,
    /// What it is, as `application/pdf`. If absent: what its payload is, or `application/octet-stream`.
    #[schemars(length(max = 255))]
    pub(super) content_type: Option<String>,
    /// Its bytes, in base64.
    pub(super) content_base64: Option<String>,
    /// Its bytes, as a payload.
    pub(super) payload_ref: Option<PayloadName>,
    /// An id under which the HTML shows it, as `<img src="cid:logo">`. It is then no file that is offered.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._@-]+$"))]
    pub(super) content_id: Option<String>,
}

/// What became of a message that the server took.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SmtpSent")]
pub(super) struct SendOutput {
    /// Its `Message-ID`: the same for each attempt of a call.
    pub(super) message_id: String,
    /// For whom the server took it.
    pub(super) accepted: Vec<String>,
    /// For whom it did not.
    pub(super) refused: Vec<RefusedRecipient>,
    /// What the server said: often its own id of the message.
    pub(super) reply: String,
}

/// A recipient for whom the server did not take the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SmtpRefusedRecipient")]
pub(super) struct RefusedRecipient {
    /// The address.
    pub(super) recipient: String,
    /// The server's code.
    pub(super) code: u16,
    /// What the server said.
    pub(super) reply: String,
    /// Whether it may take it later (a code of 4xx).
    pub(super) may_pass: bool,
}

/// Reads an address, with or without a name.
///
/// # Errors
/// It is none.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("an address has no line breaks or other control characters");
    }
    text.trim().parse().map_err(|_| "an address is `a@b.example` or `Name <a@b.example>`")
}

/// Everything that is wrong with a message beyond its schema.
pub(super) fn check(settings: &SmtpSettings, input: &SendInput) -> Vec<FieldError> {
    let mut problems = Vec::new();
    match &input.from {
        Some(from) => told(&mut problems, "/from", mailbox(from)),
        None if settings.from.is_none() => {
            problems.push(FieldError::new("/from", "the settings name no sender: give one"));
        }
        None => {}
    }
    if let Some(reply_to) = &input.reply_to {
        told(&mut problems, "/reply_to", mailbox(reply_to));
    }
    for (field, addresses) in [("to", &input.to), ("cc", &input.cc), ("bcc", &input.bcc)] {
        for (index, address) in addresses.iter().enumerate() {
            told(&mut problems, &format!("/{field}/{index}"), mailbox(address));
        }
    }
    match input.to.len() + input.cc.len() + input.bcc.len() {
        0 => problems.push(FieldError::new("/to", "a message has a recipient")),
        1..=RECIPIENTS => {}
        _ => problems.push(FieldError::new("/to", format!("a message has at most {RECIPIENTS} recipients in all"))),
    }
    if input.subject.chars().any(char::is_control) {
        problems.push(FieldError::new("/subject", "a subject has no line breaks or other control characters"));
    }
    if input.text.is_none() && input.html.is_none() {
        problems.push(FieldError::new("/text", "a message has a body: give `text`, `html` or both"));
    }
    check_headers(&input.headers, &mut problems);
    check_attachments(settings, input, &mut problems);
    problems
}

/// What a message has of bytes at least, without its payloads.
pub(super) fn inline_bytes(input: &SendInput) -> usize {
    let bodies = [&input.text, &input.html].into_iter();
    let files = input.attachments.iter().map(|file| &file.content_base64);
    bodies.chain(files).flatten().map(String::len).sum()
}

fn check_attachments(settings: &SmtpSettings, input: &SendInput, problems: &mut Vec<FieldError>) {
    for (index, attachment) in input.attachments.iter().enumerate() {
        let mut refuse = |field: &str, problem: &str| {
            problems.push(FieldError::new(format!("/attachments/{index}/{field}"), problem));
        };
        if attachment.filename.contains(['/', '\\', '"']) || attachment.filename.chars().any(char::is_control) {
            refuse("filename", "a file's name has no path, quotes or control characters");
        }
        if attachment.content_type.as_ref().is_some_and(|kind| ContentType::parse(kind).is_err()) {
            refuse("content_type", "this is not a media type, as `application/pdf`");
        }
        match (&attachment.content_base64, &attachment.payload_ref) {
            (Some(_), Some(_)) => {
                refuse("payload_ref", "an attachment has one content: `content_base64` or `payload_ref`");
            }
            (None, None) => refuse("content_base64", "give a content: `content_base64` or `payload_ref`"),
            (Some(encoded), None) if BASE64.decode(encoded.as_bytes()).is_err() => {
                refuse("content_base64", "this is not base64");
            }
            _ => {}
        }
        if attachment.content_id.is_some() && input.html.is_none() {
            refuse("content_id", "there is no `html` that could show it");
        }
    }
    if inline_bytes(input) > settings.max_message_bytes {
        let most = settings.max_message_bytes;
        problems.push(FieldError::new("", format!("the message is larger than the settings' {most} bytes")));
    }
}

fn told<T>(problems: &mut Vec<FieldError>, place: &str, outcome: Result<T, &'static str>) {
    if let Err(problem) = outcome {
        problems.push(FieldError::new(place, problem));
    }
}
