//! The `smtp` connector kind: hands messages to a mail server.
//!
//! A workspace's settings name the server and how it is spoken to; the input of `send` is a message: sender, recipients,
//! text, HTML, attachments. The message is written by `lettre`, which also knows the commands; connections come from the
//! egress guard, are made TLS here, and are kept for the next message.
//!
//! **The one rule:** a server that has not been given the whole message has not taken it, and one that said no has not
//! either: only when the answer to the message itself is lost may it have been sent.

mod attachments;
mod connection;
mod connector;
mod failure;
mod headers;
mod input;
mod kind;
mod line;
mod message;
mod pool;
mod settings;

pub use kind::SmtpKind;
