//! From an input to a message as it is sent.

use lettre::Address;
use lettre::message::{Attachment as Attached, Mailbox, Message, MessageBuilder, MultiPart, SinglePart};
use orchestrator_core::connector::CallContext;

use super::attachments::Content;
use super::headers::header;
use super::input::{Attachment, SendInput, mailbox};
use super::settings::SmtpSettings;

/// A message, and for whom it is.
pub(super) struct Written {
    pub(super) id: String,
    pub(super) sender: Address,
    pub(super) recipients: Vec<Address>,
    pub(super) bytes: Vec<u8>,
}

type Add = fn(MessageBuilder, Mailbox) -> MessageBuilder;

/// Writes the message; `contents` are those of its attachments, in their order.
///
/// # Errors
/// The input is one that its check refuses.
pub(super) fn write(
    settings: &SmtpSettings,
    context: &CallContext,
    input: &SendInput,
    contents: Vec<Content>,
) -> Result<Written, &'static str> {
    let given = input.from.as_deref().map(mailbox).transpose()?;
    let from = given.or_else(|| settings.from.clone()).ok_or("the message has no sender")?;
    let id = message_id(context, &from);
    let sender = from.email.clone();
    let mut recipients: Vec<Address> = Vec::new();
    let mut builder = Message::builder().from(from).message_id(Some(id.clone())).subject(input.subject.as_str());
    if let Some(reply_to) = &input.reply_to {
        builder = builder.reply_to(mailbox(reply_to)?);
    }
    let lists: [(&[String], Add); 3] = [
        (&input.to, |builder, mailbox| builder.to(mailbox)),
        (&input.cc, |builder, mailbox| builder.cc(mailbox)),
        // Nobody sees who else got it: they stand in the envelope only.
        (&input.bcc, |builder, _| builder),
    ];
    for (addresses, add) in lists {
        for address in addresses {
            let mailbox = mailbox(address)?;
            if !recipients.contains(&mailbox.email) {
                recipients.push(mailbox.email.clone());
            }
            builder = add(builder, mailbox);
        }
    }
    for (name, value) in &input.headers {
        builder = builder.raw_header(header(name, value).ok_or("a header cannot be sent")?);
    }
    let unsound = |_| "the message cannot be written";
    let envelope = lettre::address::Envelope::new(Some(sender.clone()), recipients.clone()).map_err(unsound)?;
    let message = match body(input, contents)? {
        Body::Single(part) => builder.envelope(envelope).singlepart(part),
        Body::Multi(part) => builder.envelope(envelope).multipart(part),
    };
    Ok(Written { id, sender, recipients, bytes: message.map_err(|_| "the message cannot be written")?.formatted() })
}

/// The same for each attempt of a call, and for no other call: who keeps the ids that it has had can drop a repetition.
fn message_id(context: &CallContext, from: &Mailbox) -> String {
    let domain = from.email.domain();
    let domain = if domain.is_ascii() { domain } else { "localhost" };
    format!("<{}.{}@{domain}>", context.subject, context.workspace)
}

enum Body {
    Single(SinglePart),
    Multi(MultiPart),
}

/// The bodies as alternatives; with the HTML what it shows; beside it all the files.
fn body(input: &SendInput, contents: Vec<Content>) -> Result<Body, &'static str> {
    let attachments = input.attachments.iter().zip(contents);
    let (shown, files): (Vec<_>, Vec<_>) = attachments.partition(|(file, _)| file.content_id.is_some());
    let html = match (&input.html, shown.is_empty()) {
        (Some(html), true) => Some(Body::Single(SinglePart::html(html.clone()))),
        (Some(html), false) => {
            let mut related = MultiPart::related().singlepart(SinglePart::html(html.clone()));
            for (file, content) in shown {
                related = related.singlepart(attached(file, content));
            }
            Some(Body::Multi(related))
        }
        (None, _) => None,
    };
    let text = input.text.as_ref().map(|text| SinglePart::plain(text.clone()));
    let bodies = match (text, html) {
        (Some(text), Some(html)) => {
            let alternative = MultiPart::alternative().singlepart(text);
            Body::Multi(match html {
                Body::Single(html) => alternative.singlepart(html),
                Body::Multi(html) => alternative.multipart(html),
            })
        }
        (Some(text), None) => Body::Single(text),
        (None, Some(html)) => html,
        (None, None) => return Err("the message has no body"),
    };
    if files.is_empty() {
        return Ok(bodies);
    }
    let mut mixed = match bodies {
        Body::Single(body) => MultiPart::mixed().singlepart(body),
        Body::Multi(body) => MultiPart::mixed().multipart(body),
    };
    for (file, content) in files {
        mixed = mixed.singlepart(attached(file, content));
    }
    Ok(Body::Multi(mixed))
}

fn attached(file: &Attachment, content: Content) -> SinglePart {
    let part = match &file.content_id {
        Some(id) => Attached::new_inline_with_name(id.clone(), file.filename.clone()),
        None => Attached::new(file.filename.clone()),
    };
    part.body(content.bytes, content.kind)
}
