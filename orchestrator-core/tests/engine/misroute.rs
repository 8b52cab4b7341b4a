//! Misroute protection, for each provider: an event reaches the workspace whose route it names and whose secret signed
//! it, and nobody else.

use bytes::Bytes;
use http::HeaderMap;
use orchestrator_core::Error;
use orchestrator_core::clock::Clock;
use orchestrator_core::secrets::{Secret, env_prefix};
use orchestrator_core::types::{TraceId, WorkspaceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::webhooks::signature::{Address, Fixture, provider, providers};
use serde_json::{Value, json};

use crate::fixture::{World, config, merge};

/// A provider, and a webhook of it.
struct Sender {
    name: &'static str,
    sample: &'static str,
    /// Whether its events name an account by which a route is found.
    names_accounts: bool,
    secrets: [&'static str; 2],
}

const PLAIN: [&str; 2] = ["secret-of-the-shop", "secret-of-the-mall"];

macro_rules! sample {
    ($path:literal) => {
        include_str!(concat!("../../../examples/fixtures/", $path))
    };
}

fn senders() -> Vec<Sender> {
    let plain = |name, sample, names_accounts| Sender { name, sample, names_accounts, secrets: PLAIN };
    vec![
        plain("stripe", sample!("stripe/invoice.paid.json"), true),
        plain("stripe", sample!("stripe/v1.billing.meter.error_report_triggered.json"), true),
        plain("github", sample!("github/push.json"), false),
        plain("shopify", sample!("shopify/orders-create.json"), true),
        plain("slack", sample!("slack/app_mention.json"), true),
        plain("hmac", sample!("hmac/order.created.json"), false),
        plain("paddle", sample!("paddle/transaction.completed.json"), false),
        Sender {
            secrets: ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            ..plain("standard-webhooks", sample!("standard-webhooks/contact.created.json"), false)
        },
        Sender {
            secrets: ["00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"],
            ..plain("adyen", sample!("adyen/AUTHORISATION.json"), true)
        },
    ]
}

fn settings(sender: &Sender) -> Option<Value> {
    (sender.name == "hmac").then(|| json!({"header": "X-Signature", "id_pointer": "/id", "type_pointer": "/type"}))
}

fn routes(sender: &Sender, of: &str) -> Value {
    let route = |more: Value| {
        let mut route = json!({"provider": sender.name, "signing_secret": "hook"});
        if let Some(settings) = settings(sender) {
            route["settings"] = settings;
        }
        merge(&mut route, more);
        route
    };
    let mut routes = json!({"keyed": route(json!({"route_key": format!("key-{of}")}))});
    if sender.names_accounts {
        routes["main"] = route(json!({"account": format!("account-{of}")}));
    }
    routes
}

async fn world(sender: &Sender) -> (World, WorkspaceId) {
    let with = |of: &str| {
        let name = format!("{of}-dev");
        let key = format!("{}HOOK", env_prefix(&name.parse().unwrap()));
        let reference = json!({"hook": {"source": "env", "key": key}});
        config(&name, json!({"webhook_routes": routes(sender, of), "secret_refs": reference}))
    };
    let world = World::with(None, with("shop")).await;
    let mall = world.import("mall-dev", with("mall")).await;
    for (of, secret) in ["SHOP", "MALL"].into_iter().zip(sender.secrets) {
        world.install.set_env(&format!("{of}_DEV_HOOK"), secret);
    }
    (world, mall)
}

/// Sends the sample as an event of this account, under this secret.
async fn send(
    world: &World,
    sender: &Sender,
    key: Option<&str>,
    account: Option<&str>,
    secret: &str,
    event_id: &str,
) -> Result<Ingress, Error> {
    let (signer, now, settings) = (provider(sender.name).unwrap(), world.install.clock.now(), settings(sender));
    let mut sample: Value = serde_json::from_str(sender.sample).unwrap();
    let to = Address { event_id, event_type: None, account, now, settings: settings.as_ref() };
    signer.address(&mut sample, &to);
    let body = serde_json::to_vec(&sample).unwrap();
    let secret = Secret::new(secret.to_owned());
    let fixture = Fixture { account, settings: settings.as_ref(), ..Fixture::new(&body, event_id) };
    let sent = Bytes::from(signer.signed_body(&fixture, &secret).unwrap());
    let fixture = Fixture { body: &sent, ..fixture };
    let headers = signer.sign(&fixture, &secret, now).unwrap();
    world.engine.webhooks().ingest(sender.name, key, &headers, sent, TraceId::new()).await
}

#[tokio::test(start_paused = true)]
async fn inv_17_of_each_provider_only_what_names_a_route_and_is_signed_for_it_arrives() {
    for sender in senders() {
        let (world, mall) = world(&sender).await;
        let (mut number, mut arrived) = (0, [0, 0]);
        for signed_for in [0, 1] {
            for key in [None, Some(0), Some(1)] {
                for account in [None, Some(0), Some(1)] {
                    number += 1;
                    let whose = ["shop", "mall"];
                    let route_key = key.map(|of: usize| format!("key-{}", whose[of]));
                    let named = account.map(|of: usize| format!("account-{}", whose[of]));
                    let (key_text, account_text) = (route_key.as_deref(), named.as_deref());
                    let id = format!("event-{number}");
                    let secret = sender.secrets[signed_for];
                    let sent = send(&world, &sender, key_text, account_text, secret, &id).await;
                    let case =
                        format!("{} {key_text:?} {account_text:?} signed for {}", sender.name, whose[signed_for]);
                    match key.or(account.filter(|_| sender.names_accounts)) {
                        None => assert_eq!(sent.unwrap_err().code(), "route_not_found", "{case}"),
                        Some(named) if named != signed_for => {
                            assert_eq!(sent.unwrap_err().code(), "signature_invalid", "{case}");
                        }
                        Some(named) => {
                            let Ok(Ingress::Accepted(taken)) = sent else { panic!("{case}: {sent:?}") };
                            assert!(!taken.duplicate, "{case}");
                            let of = [&world.shop, &mall];
                            assert!(world.engine.inbox().get(of[named], taken.id).await.is_ok(), "{case}");
                            assert!(world.engine.inbox().get(of[1 - named], taken.id).await.is_err(), "{case}");
                            arrived[named] += 1;
                        }
                    }
                }
            }
        }
        for (of, arrived) in [&world.shop, &mall].into_iter().zip(arrived) {
            let found = world.engine.inbox().list(of, None, 100).await.unwrap().items.len();
            assert_eq!((found, arrived), (arrived, if sender.names_accounts { 4 } else { 3 }), "{}", sender.name);
        }
    }
}

#[test]
fn every_provider_is_among_those_that_are_tried() {
    let tried: std::collections::BTreeSet<_> = senders().iter().map(|sender| sender.name).collect();
    assert_eq!(tried, providers().iter().map(|provider| provider.name()).collect());
}

/// The shop of Shopify stands in a header that nobody signs: naming another one leads to another one's secret.
#[tokio::test(start_paused = true)]
async fn inv_17_a_captured_webhook_is_not_led_elsewhere_by_an_unsigned_header() {
    let sender = senders().into_iter().find(|sender| sender.name == "shopify").unwrap();
    let (world, mall) = world(&sender).await;
    let body = Bytes::from_static(sender.sample.as_bytes());
    let fixture = Fixture { account: Some("account-shop"), ..Fixture::new(&body, "event-1") };
    let secret = Secret::new(sender.secrets[0].to_owned());
    let mut headers: HeaderMap =
        provider("shopify").unwrap().sign(&fixture, &secret, world.install.clock.now()).unwrap();
    headers.insert("x-shopify-shop-domain", "account-mall".parse().unwrap());
    let sent = world.engine.webhooks().ingest("shopify", None, &headers, body, TraceId::new()).await;
    assert_eq!(sent.unwrap_err().code(), "signature_invalid");
    assert!(world.engine.inbox().list(&mall, None, 10).await.unwrap().items.is_empty());
}

/// Slack asks once for an app whether the endpoint is ours, and names no team then.
#[tokio::test(start_paused = true)]
async fn slack_is_answered_its_challenge_by_whichever_route_it_is_signed_for() {
    let sender = Sender { sample: sample!("slack/url_verification.json"), ..senders().remove(4) };
    let (world, mall) = world(&sender).await;
    for secret in sender.secrets {
        for key in [None, Some(if secret == sender.secrets[0] { "key-shop" } else { "key-mall" })] {
            match send(&world, &sender, key, None, secret, "unused").await.unwrap() {
                Ingress::Challenge(text) => assert_eq!(text, "3eZbrw1aExampleOfAChallengeThatIsEchoed"),
                taken => panic!("{taken:?}"),
            }
        }
    }
    let forged = send(&world, &sender, None, None, "secret-of-nobody", "unused").await;
    assert_eq!(forged.unwrap_err().code(), "signature_invalid");
    for workspace in [&world.shop, &mall] {
        assert!(world.engine.inbox().list(workspace, None, 10).await.unwrap().items.is_empty());
    }
    // An event of that form with an account of nobody is no question: it has no route.
    let event = Sender { sample: sample!("slack/app_mention.json"), ..sender };
    let stray = send(&world, &event, None, Some("T_NOBODY"), PLAIN[0], "Ev1").await;
    assert_eq!(stray.unwrap_err().code(), "route_not_found");
}
