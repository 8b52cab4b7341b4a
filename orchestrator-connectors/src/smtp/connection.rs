//! One connection to a mail server, and the dialogue on it.

use std::future::Future;
use std::time::Duration;

use data_encoding::BASE64;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use orchestrator_core::secrets::{Redactor, Secret};
use tokio::time::{Instant, timeout};

use super::failure::{Phase, failed, late, nobody, refused, said, shown};
use super::input::RefusedRecipient;
use super::line::{Line, NoStartTls, start_tls};
use super::message::Written;
use super::settings::{Protection, SmtpSettings};
use crate::egress::EgressClient;

/// Messages over one connection: servers end it after some hundreds.
const MESSAGES: u32 = 100;

/// What a connection logs in with.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) username: Secret,
    pub(super) password: Secret,
}

impl Login {
    fn same(&self, other: &Self) -> bool {
        self.username.expose() == other.username.expose() && self.password.expose() == other.password.expose()
    }
}

/// A connection that is greeted and logged in.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    login: Option<Login>,
    messages: u32,
    used: Instant,
}

/// For whom a server took a message.
pub(super) struct Taken {
    pub(super) accepted: Vec<String>,
    pub(super) refused: Vec<RefusedRecipient>,
    pub(super) reply: String,
}

impl Connection {
    /// Opens one, within the settings' time for it.
    ///
    /// # Errors
    /// The server was not reached, may not be, or does not let us in. Nothing of a message has been sent.
    pub(super) async fn open(
        client: &EgressClient,
        settings: &SmtpSettings,
        login: Option<Login>,
    ) -> Result<Self, CallError> {
        timeout(settings.connect_timeout, Self::open_without_deadline(client, settings, login)).await.unwrap_or_else(
            |_| Err(unreachable("the mail server did not greet, start TLS and log in within the time to connect")),
        )
    }

    async fn open_without_deadline(
        client: &EgressClient,
        settings: &SmtpSettings,
        login: Option<Login>,
    ) -> Result<Self, CallError> {
        let connected = client.connect(&settings.host, settings.port, settings.connect_timeout).await?;
        let (trust, mut stream) = (settings.trust.as_ref(), connected.stream);
        let line = match (settings.tls, trust) {
            (Protection::Tls, Some(trust)) => Line::tls(trust.connect(&settings.host, stream).await?, false),
            (Protection::Starttls, Some(trust)) => {
                start_tls(&mut stream, &settings.hello).await.map_err(no_tls)?;
                Line::tls(trust.connect(&settings.host, stream).await?, true)
            }
            (Protection::Tls | Protection::Starttls, None) => return Err(unreachable("TLS is not set up")),
            (Protection::None, _) if connected.inside => Line::clear(stream),
            (Protection::None, _) => {
                let detail = "mail goes in clear only to addresses inside: set `tls` to `tls` or `starttls`";
                return Err(CallError::new(CallErrorKind::DestinationForbidden, Sent::No, detail));
            }
        };
        let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(line), &settings.hello).await;
        let mut smtp = greeted.map_err(|problem| failed(Phase::Hello, &problem))?;
        if let Some(login) = &login {
            let credentials = Credentials::new(login.username.expose().to_owned(), login.password.expose().to_owned());
            let answer = smtp.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            answer.map_err(|problem| failed(Phase::Login, &problem))?;
        }
        Ok(Self { smtp, login, messages: 0, used: Instant::now() })
    }

    /// Whether it may be used again, by who logs in so.
    pub(super) fn serves(&self, login: Option<&Login>, longest_idle: Duration) -> bool {
        let same = match (&self.login, login) {
            (Some(own), Some(login)) => own.same(login),
            (None, None) => true,
            _ => false,
        };
        same && self.messages < MESSAGES && self.is_fresh(longest_idle)
    }

    pub(super) fn is_fresh(&self, longest_idle: Duration) -> bool {
        self.used.elapsed() < longest_idle
    }

    /// Whether the server still listens. Whatever was begun is forgotten there.
    pub(super) async fn reset(&mut self, patience: Duration) -> bool {
        let answered = matches!(timeout(patience, self.smtp.command(Rset)).await, Ok(Ok(_)));
        self.used = Instant::now();
        answered
    }

    /// Takes its leave.
    pub(super) async fn quit(mut self, patience: Duration) {
        let _ = timeout(patience, self.smtp.quit()).await;
    }

    /// Hands a message over. After an error the connection is not to be used again.
    ///
    /// Dropping the future closes the connection; the server may have the message.
    ///
    /// # Errors
    /// The server did not take it, or its answer was lost.
    pub(super) async fn send(
        &mut self,
        message: &Written,
        all_or_nobody: bool,
        patience: Duration,
    ) -> Result<Taken, CallError> {
        let parameters = self.parameters(message)?;
        let mail = Mail::new(Some(message.sender.clone()), parameters);
        answer(Phase::Envelope, patience, self.smtp.command(mail)).await?;
        let (accepted, refused) = self.recipients(message, patience).await?;
        let nobody_is_left = accepted.is_empty() || (all_or_nobody && !refused.is_empty());
        if nobody_is_left {
            // All that were refused for now may be taken later; one that is refused for good spoils it for all.
            let may_pass = if all_or_nobody {
                refused.iter().all(|one| one.may_pass)
            } else {
                refused.iter().any(|one| one.may_pass)
            };
            return Err(nobody(&refused, may_pass));
        }
        answer(Phase::Envelope, patience, self.smtp.command(Data)).await?;
        let reply = answer(Phase::Content, patience, self.smtp.message(&message.bytes)).await?;
        self.messages += 1;
        self.used = Instant::now();
        let lines: Vec<&str> = reply.message().collect();
        Ok(Taken { accepted, refused, reply: shown(&format!("{} {}", reply.code(), lines.join(" "))) })
    }

    /// The same without the form in which the login was sent, should the server repeat it. (What fills the slots is taken
    /// out of outputs by the engine.)
    pub(super) fn without_login(&self, mut sent: Result<Taken, CallError>) -> Result<Taken, CallError> {
        let Some(login) = &self.login else { return sent };
        let plain = format!("\0{}\0{}", login.username.expose(), login.password.expose());
        let redactor = Redactor::new(&[Secret::new(BASE64.encode(plain.as_bytes()))]);
        match &mut sent {
            Ok(taken) => {
                for text in taken.refused.iter_mut().map(|one| &mut one.reply).chain([&mut taken.reply]) {
                    *text = redactor.text(text).into_owned();
                }
            }
            Err(failed) => {
                if let Some(upstream) = &mut failed.upstream {
                    redactor.value(&mut upstream.body);
                }
            }
        }
        sent
    }

    fn parameters(&self, message: &Written) -> Result<Vec<MailParameter>, CallError> {
        let server = self.smtp.server_info();
        let mut parameters = Vec::new();
        let mut addresses = message.recipients.iter().chain([&message.sender]);
        if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
            if !server.supports_feature(Extension::SmtpUtfEight) {
                return Err(unsendable("an address has letters that this mail server cannot take (SMTPUTF8)"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !message.bytes.is_ascii() {
            if !server.supports_feature(Extension::EightBitMime) {
                return Err(unsendable("the message has letters that this mail server cannot take (8BITMIME)"));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    async fn recipients(
        &mut self,
        message: &Written,
        patience: Duration,
    ) -> Result<(Vec<String>, Vec<RefusedRecipient>), CallError> {
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for recipient in &message.recipients {
            let asked = timeout(patience, self.smtp.command(Rcpt::new(recipient.clone(), Vec::new()))).await;
            match asked.map_err(|_| late(Phase::Envelope))? {
                Ok(_) => accepted.push(recipient.to_string()),
                Err(problem) => match problem.status().map(u16::from) {
                    // The server is about to close: nobody is taken any more.
                    None | Some(421) => return Err(failed(Phase::Envelope, &problem)),
                    Some(code) => refused.push(RefusedRecipient {
                        recipient: recipient.to_string(),
                        code,
                        reply: said(&problem),
                        may_pass: code < 500,
                    }),
                },
            }
        }
        Ok((accepted, refused))
    }
}

async fn answer(
    phase: Phase,
    patience: Duration,
    asked: impl Future<Output = Result<Response, Error>>,
) -> Result<Response, CallError> {
    timeout(patience, asked).await.map_err(|_| late(phase))?.map_err(|problem| failed(phase, &problem))
}

fn no_tls(problem: NoStartTls) -> CallError {
    match problem {
        NoStartTls::Broken => unreachable("nothing that speaks SMTP answered"),
        NoStartTls::Refused(code) => {
            refused(code, serde_json::Value::Null, format!("the mail server answered {code} before TLS was started"))
        }
        NoStartTls::NotOffered => unsendable("the mail server offers no STARTTLS"),
        NoStartTls::Injected => unreachable("the mail server said more than it was asked before TLS was started"),
    }
}

fn unreachable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Unreachable, Sent::No, detail)
}

fn unsendable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, detail)
}
