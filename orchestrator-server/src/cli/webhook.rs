//! `orchestrator webhook`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use orchestrator_client::{WebhookAnswer, WebhookOutcome};
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::webhooks::signature::{Fixture, WebhookProvider, provider, providers};
use orchestrator_types::{Name, WebhookRouteConfig, WorkspaceId};
use serde_json::{Value, json};

use super::Verdict;
use super::connection::Connection;
use super::output::Printer;
use super::secret::{of_file, of_variable};

/// Fixtures that come with the program.
const FIXTURES: [(&str, &str, &str); 3] = [
    ("stripe", "invoice.paid", include_str!("../../../examples/fixtures/stripe/invoice.paid.json")),
    ("stripe", "charge.refunded", include_str!("../../../examples/fixtures/stripe/charge.refunded.json")),
    (
        "stripe",
        "customer.subscription.updated",
        include_str!("../../../examples/fixtures/stripe/customer.subscription.updated.json"),
    ),
];

/// Webhooks as a provider sends them.
#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    /// Sign a fixture as the provider does, and send it to the ingress.
    Send(Box<Send>),
}

/// Sign a fixture and send it.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The provider: `stripe`, `github`, `shopify`, `slack`, `standard-webhooks` or `hmac`.
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
    /// The event's type, where the provider has it in a header.
    #[arg(long)]
    event_type: Option<String>,
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
        let body = send.body(route, &event_id)?;
        let answer = send.deliver(signer, route, &secret, &event_id, body).await?;
        show(printer, &answer)
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

    fn body(&self, route: &WebhookRouteConfig, event_id: &str) -> anyhow::Result<Bytes> {
        let built_in = FIXTURES
            .iter()
            .find(|(provider, name, _)| *provider == self.provider.as_str() && *name == self.fixture)
            .map(|(_, _, text)| *text);
        let path = Path::new(&self.fixture);
        match built_in {
            Some(text) if !path.exists() => addressed(text, route, event_id),
            _ => std::fs::read(path).map(Bytes::from).with_context(|| {
                let of_provider = FIXTURES.iter().filter(|(provider, ..)| *provider == self.provider.as_str());
                let names: Vec<&str> = of_provider.map(|(_, name, _)| *name).collect();
                format!(
                    "{} is neither a file that can be read nor one of the fixtures [{}]",
                    self.fixture,
                    names.join(", ")
                )
            }),
        }
    }

    async fn deliver(
        &self,
        signer: &dyn WebhookProvider,
        route: &WebhookRouteConfig,
        secret: &Secret,
        event_id: &str,
        body: Bytes,
    ) -> anyhow::Result<WebhookAnswer> {
        let fixture = Fixture {
            event_type: self.event_type.as_deref(),
            account: route.account.as_deref(),
            settings: route.settings.as_ref(),
            ..Fixture::new(&body, event_id)
        };
        let mut headers = signer.sign(&fixture, secret, SystemClock.now())?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let client = self.connection.anonymous()?;
        Ok(client.send_webhook(&self.provider, route.route_key.as_ref(), headers, body).await?)
    }
}

/// The fixture as an event of the route's account, with this id.
fn addressed(text: &str, route: &WebhookRouteConfig, event_id: &str) -> anyhow::Result<Bytes> {
    let mut event: Value = serde_json::from_str(text).context("the fixture")?;
    let fields = event.as_object_mut().context("the fixture is no object")?;
    fields.insert("id".to_owned(), json!(event_id));
    fields.insert("created".to_owned(), json!(SystemClock.now().unix_seconds()));
    match &route.account {
        Some(account) => fields.insert("account".to_owned(), json!(account)),
        None => fields.remove("account"),
    };
    Ok(Bytes::from(serde_json::to_vec_pretty(&event)?))
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

    use super::*;

    #[test]
    fn every_fixture_is_an_event_that_is_addressed_to_the_route() {
        let account: WebhookRouteConfig =
            serde_json::from_value(json!({"provider": "stripe", "account": "acct_9", "signing_secret": "s"})).unwrap();
        let default = WebhookRouteConfig { account: None, default: true, ..account.clone() };
        for (_, name, text) in FIXTURES {
            let event: Value = serde_json::from_slice(&addressed(text, &account, "evt_1").unwrap()).unwrap();
            assert_eq!(
                (&event["type"], &event["id"], &event["account"]),
                (&json!(name), &json!("evt_1"), &json!("acct_9"))
            );
            let event: Value = serde_json::from_slice(&addressed(text, &default, "evt_1").unwrap()).unwrap();
            assert!(event.get("account").is_none());
        }
    }
}
