//! `orchestrator webhook`.

mod fixtures;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use orchestrator_client::{WebhookAnswer, WebhookOutcome};
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::webhooks::signature::{Address, Fixture, WebhookProvider, provider, providers};
use orchestrator_types::{Name, WebhookRouteConfig, WorkspaceId};
use serde_json::{Value, json};

use self::fixtures::Sample;
use super::Verdict;
use super::connection::Connection;
use super::output::Printer;
use super::secret::{of_file, of_variable};

/// Webhooks as a provider sends them.
#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    /// Sign a fixture as the provider does, and send it to the ingress.
    Send(Box<Send>),
}

/// Sign a fixture and send it.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The provider: `stripe`, `github`, `shopify`, `slack`, `standard-webhooks`, `hmac`, `paddle` or `adyen`.
    provider: Name,
    /// The workspace whose route is to take it. Its config is read, with the token, to address the route.
    #[arg(long)]
    workspace: WorkspaceId,
    /// A file, which is sent byte for byte; or the name of a fixture that comes with the program, as `invoice.paid`,
    /// which gets a new event id and the route's account.
    #[arg(long)]
    fixture: String,
    #[command(flatten)]
    secret: SecretSource,
    /// The route, if the workspace has several of this provider.
    #[arg(long)]
    route: Option<Name>,
    /// The event's id, to send the same event twice; for a file only where the provider has it in a header.
    #[arg(long)]
    event_id: Option<String>,
    /// The event's type: of a file only where the provider has it in a header.
    #[arg(long)]
    event_type: Option<String>,
    /// Send it twice: the second is to be a duplicate.
    #[arg(long)]
    duplicate: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Where the signing secret is taken from. The server never tells it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SecretSource {
    /// Sign with the secret in this environment variable.
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// Sign with the secret in this file.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SecretSource {
    fn secret(&self) -> anyhow::Result<Secret> {
        match (&self.secret_env, &self.secret_file) {
            (Some(name), _) => of_variable(name),
            (None, Some(path)) => of_file(path),
            (None, None) => bail!("give --secret-env or --secret-file"),
        }
    }
}

impl Webhooks {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let Self::Send(send) = self;
        let known = || providers().iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ");
        let signer = provider(send.provider.as_str()).with_context(|| format!("the providers are: {}", known()))?;
        let secret = send.secret.secret()?;
        let config = send.connection.workspace(&send.workspace)?.config().await?.body.config;
        let route = send.route_of(config.webhook_routes.iter())?;
        let event_id = send.event_id.clone().unwrap_or_else(|| format!("evt_{:016x}", fastrand::u64(..)));
        let sample = send.sample();
        let body = match sample {
            Some(sample) => send.addressed(signer, sample, route, &event_id)?,
            None => send.file()?,
        };
        let mut verdict = Verdict::Good;
        for _ in 0..if send.duplicate { 2 } else { 1 } {
            let answer = send.deliver(signer, route, &secret, sample, &event_id, &body).await?;
            if show(printer, &answer)? == Verdict::Bad {
                verdict = Verdict::Bad;
            }
        }
        Ok(verdict)
    }
}

impl Send {
    /// The one route of the provider that is meant.
    fn route_of<'a>(
        &self,
        routes: impl Iterator<Item = (&'a Name, &'a WebhookRouteConfig)>,
    ) -> anyhow::Result<&'a WebhookRouteConfig> {
        let of_provider = routes.filter(|(_, route)| route.provider == self.provider);
        let meant: Vec<_> =
            of_provider.filter(|(name, _)| self.route.as_ref().is_none_or(|wanted| wanted == *name)).collect();
        match meant.as_slice() {
            [(_, route)] => Ok(*route),
            [] => bail!("{} has no such route of `{}`", self.workspace, self.provider),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                bail!(
                    "{} has several routes of `{}`: choose by --route {}",
                    self.workspace,
                    self.provider,
                    names.join("|")
                )
            }
        }
    }

    /// The fixture of that name, unless a file has it.
    fn sample(&self) -> Option<&'static Sample> {
        fixtures::find(self.provider.as_str(), &self.fixture).filter(|_| !Path::new(&self.fixture).exists())
    }

    fn file(&self) -> anyhow::Result<Bytes> {
        std::fs::read(&self.fixture).map(Bytes::from).with_context(|| {
            let names = fixtures::names(self.provider.as_str());
            format!("{} is neither a file that can be read nor one of the fixtures [{names}]", self.fixture)
        })
    }

    /// The fixture as an event of the route's account, with this id.
    fn addressed(
        &self,
        signer: &dyn WebhookProvider,
        sample: &Sample,
        route: &WebhookRouteConfig,
        event_id: &str,
    ) -> anyhow::Result<Bytes> {
        let mut event: Value = serde_json::from_str(sample.text).context("the fixture")?;
        let to = Address {
            event_id,
            event_type: self.event_type.as_deref(),
            account: route.account.as_deref(),
            now: SystemClock.now(),
            settings: route.settings.as_ref(),
        };
        signer.address(&mut event, &to);
        Ok(Bytes::from(serde_json::to_vec_pretty(&event)?))
    }

    async fn deliver(
        &self,
        signer: &dyn WebhookProvider,
        route: &WebhookRouteConfig,
        secret: &Secret,
        sample: Option<&Sample>,
        event_id: &str,
        body: &Bytes,
    ) -> anyhow::Result<WebhookAnswer> {
        let fixture = Fixture {
            event_type: self.event_type.as_deref().or(sample.and_then(|sample| sample.event_type)),
            account: route.account.as_deref(),
            settings: route.settings.as_ref(),
            ..Fixture::new(body, event_id)
        };
        let signed = Bytes::from(signer.signed_body(&fixture, secret)?);
        let mut headers = signer.sign(&Fixture { body: &signed, ..fixture }, secret, SystemClock.now())?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let client = self.connection.anonymous()?;
        Ok(client.send_webhook(&self.provider, route.route_key.as_ref(), headers, signed).await?)
    }
}

fn show(printer: Printer, answer: &WebhookAnswer) -> anyhow::Result<Verdict> {
    let status = answer.status.as_u16();
    match &answer.outcome {
        WebhookOutcome::Accepted(accepted) => {
            let again = if accepted.duplicate { " (a duplicate)" } else { "" };
            printer.told(accepted, || format!("{}{again}", accepted.id))?;
        }
        WebhookOutcome::Refused(problem) => {
            printer.told(problem, || format!("{}: {} (HTTP {status})", problem.code, problem.detail))?;
        }
        other => {
            let body = if let WebhookOutcome::Other(body) = other { body.as_str() } else { "" };
            printer.told(&json!({"status": status, "body": body}), || format!("HTTP {status} {body}"))?;
        }
    }
    Ok(answer.status.is_success().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use http::HeaderMap;
    use orchestrator_core::webhooks::signature::InboundWebhook;

    use super::fixtures::SAMPLES;
    use super::*;

    fn route(provider: &str) -> WebhookRouteConfig {
        let settings = json!({"header": "X-Signature", "id_pointer": "/id", "type_pointer": "/type"});
        serde_json::from_value(json!({
            "provider": provider, "account": "acct_9", "signing_secret": "s", "settings": (provider == "hmac").then_some(settings)
        }))
        .unwrap()
    }

    fn send(sample: &Sample) -> Send {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            send: Send,
        }
        let line = ["x", sample.provider, "--workspace", "a-dev", "--fixture", sample.name, "--secret-env", "S"];
        <Line as clap::Parser>::parse_from(line).send
    }

    #[test]
    fn every_provider_has_fixtures_and_each_is_signed_as_an_event_of_its_route() {
        let provided: BTreeSet<_> = SAMPLES.iter().map(|sample| sample.provider).collect();
        assert_eq!(provided, providers().iter().map(|provider| provider.name()).collect());
        for sample in SAMPLES {
            let (signer, route) = (provider(sample.provider).unwrap(), route(sample.provider));
            let secret = match sample.provider {
                "standard-webhooks" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                _ => "00112233445566778899aabbccddeeff",
            };
            let secret = Secret::new(secret.to_owned());
            let body = send(sample).addressed(signer, sample, &route, "evt_1").unwrap();
            let settings = route.settings.as_ref();
            let fixture = Fixture {
                event_type: sample.event_type,
                account: Some("acct_9"),
                settings,
                ..Fixture::new(&body, "evt_1")
            };
            let sent = signer.signed_body(&fixture, &secret).unwrap();
            let headers = signer.sign(&Fixture { body: &sent, ..fixture }, &secret, SystemClock.now()).unwrap();
            let request = InboundWebhook::new(&headers, &sent);
            signer.verify(&request, std::slice::from_ref(&secret), settings, SystemClock.now()).unwrap();
            if sample.name == "url_verification" {
                assert!(signer.challenge(&request).is_some());
                continue;
            }
            let facts = signer.event(&request, settings).unwrap();
            assert!(facts.event_id.contains("evt_1"), "{} {facts:?}", sample.name);
            let named = facts.event_type.unwrap();
            let normal = |text: &str| text.replace('/', "-");
            assert_eq!(normal(&named), sample.name, "{}", sample.provider);
            let accounts = ["stripe", "shopify", "slack", "adyen"].contains(&sample.provider);
            assert_eq!(facts.account.as_deref(), accounts.then_some("acct_9"), "{}", sample.name);
        }
    }

    #[test]
    fn an_event_of_a_route_without_an_account_names_none() {
        let sample = fixtures::find("stripe", "invoice.paid").unwrap();
        let route = WebhookRouteConfig { account: None, default: true, ..route("stripe") };
        let body = send(sample).addressed(provider("stripe").unwrap(), sample, &route, "evt_1").unwrap();
        let none = HeaderMap::new();
        let account = provider("stripe").unwrap().account(&InboundWebhook::new(&none, &body), None);
        assert_eq!(account.unwrap(), None);
    }
}
