//! Webhooks and the inbox.

use serde_json::{Value, json};

use crate::kit::{Done, Install, Server, Upstream, finish};

const CALLBACK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn onboard(server: &Server<'_>, product: &Upstream) {
    let callback = format!("{}/events", product.url);
    server.apply(
        "shop-dev",
        &format!(
            "  policies: {{default: {{}}}}\n  secret_refs:\n    stripe: {{source: stored, name: stripe}}\n    cb: {{source: stored, name: cb}}\n  \
               callbacks:\n    billing: {{url: '{callback}', signing_secret: cb}}\n  \
               webhook_routes:\n    stripe-main: {{provider: stripe, account: acct_7, signing_secret: stripe, callback: billing}}\n"
        ),
    );
    server.fed(&["secret", "set", "shop-dev", "stripe"], "whsec_right").well();
    server.fed(&["secret", "set", "shop-dev", "cb"], CALLBACK_SECRET).well();
}

fn send(server: &Server<'_>, secret: &str, more: &[&str]) -> Done {
    let arguments =
        ["webhook", "send", "stripe", "--workspace", "shop-dev", "--secret-env", "SIGNING", "--output", "json"];
    let mut command = server.command(&[&arguments[..], more].concat());
    command.env("SIGNING", secret);
    finish(command)
}

#[test]
fn a_signed_webhook_is_taken_in_once_and_delivered() {
    let (install, product) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &product);
    let first = send(&server, "whsec_right", &["--fixture", "invoice.paid", "--event-id", "evt_1"]).json();
    assert_eq!(first["duplicate"], false);
    let asked = product.next();
    let verifier = standardwebhooks::Webhook::new(CALLBACK_SECRET).unwrap();
    let mut headers = http::HeaderMap::new();
    for (name, value) in asked.head.lines().filter_map(|line| line.split_once(": ")) {
        headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    verifier.verify(asked.body.as_bytes(), &headers).unwrap();
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(
        (&body["id"], &body["data"]["event_id"], &body["data"]["account"]),
        (&first["id"], &json!("evt_1"), &json!("acct_7"))
    );
    asked.answer(204, "");
    let again = send(&server, "whsec_right", &["--fixture", "invoice.paid", "--event-id", "evt_1"]).json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));

    let listed = server.json(&["inbox", "list", "shop-dev"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let id = first["id"].as_str().unwrap();
    let entry = server.json(&["inbox", "get", "shop-dev", id]);
    assert_eq!((&entry["event_type"], &entry["payload"]["id"]), (&json!("invoice.paid"), &json!("evt_1")));
    server.run(&["inbox", "replay", "shop-dev", id, "--reason", "lost it"]).well();
    let replayed: Value = serde_json::from_str(&product.next().body).unwrap();
    assert_eq!(replayed["id"], first["id"]);
}

#[test]
fn a_webhook_with_another_secret_is_refused_and_the_command_fails() {
    let (install, product) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &product);
    let refused = send(&server, "whsec_wrong", &["--fixture", "charge.refunded"]);
    assert_eq!(refused.status.code(), Some(1));
    let problem: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("signature_invalid"), &json!(401)));
    assert!(!format!("{refused:?}").contains("whsec_wrong"));
    assert_eq!(server.json(&["inbox", "list", "shop-dev"])["items"], json!([]));
}

#[test]
fn a_file_is_sent_byte_for_byte() {
    let (install, product) = (Install::new(), Upstream::start());
    let server = install.serve();
    onboard(&server, &product);
    let body = "{ \"id\" : \"evt_f\",\n\"type\":\"a.b\", \"account\":\"acct_7\"  }";
    let file = install.write("event.json", body);
    let taken = send(&server, "whsec_right", &["--fixture", &file]).json();
    let entry = server.json(&["inbox", "get", "shop-dev", taken["id"].as_str().unwrap()]);
    assert_eq!(
        (&entry["event_id"], &entry["headers"]["content-length"]),
        (&json!("evt_f"), &json!(body.len().to_string()))
    );
    let line = send(&server, "whsec_right", &["--fixture", "nothing.such"]).refused();
    assert!(line.contains("invoice.paid"), "{line}");
    let line = send(&server, "whsec_right", &["--fixture", "invoice.paid", "--route", "other"]).refused();
    assert!(line.contains("no such route"), "{line}");
}

#[test]
fn fixtures_of_every_provider_are_signed_and_taken_in_once() {
    let install = Install::new();
    let server = install.serve();
    let providers = [
        ("stripe", "account: acct_7", "v1.billing.meter.error_report_triggered"),
        ("github", "route_key: shop-github", "push"),
        ("shopify", "account: shop.myshopify.com", "orders-create"),
        ("slack", "account: T7", "app_mention"),
        ("standard-webhooks", "route_key: shop-standard", "contact.created"),
        ("hmac", "route_key: shop-hmac, settings: {header: X-Signature, id_pointer: /id}", "order.created"),
        ("paddle", "default: true", "transaction.completed"),
        ("adyen", "account: ShopMerchant", "AUTHORISATION"),
    ];
    let mut config = "  secret_refs:\n    hook: {source: stored, name: hook}\n    hex: {source: stored, name: hex}\n  webhook_routes:\n".to_owned();
    for (provider, route, _) in providers {
        let secret = if provider == "adyen" { "hex" } else { "hook" };
        config.push_str(&format!("    {provider}: {{provider: {provider}, signing_secret: {secret}, {route}}}\n"));
    }
    server.apply("shop-dev", &config);
    let hex = "44782DEF547AAA06C910C43932B1EB0C";
    server.fed(&["secret", "set", "shop-dev", "hook"], CALLBACK_SECRET).well();
    server.fed(&["secret", "set", "shop-dev", "hex"], hex).well();
    for (provider, _, fixture) in providers {
        let arguments = [
            "webhook",
            "send",
            provider,
            "--workspace",
            "shop-dev",
            "--fixture",
            fixture,
            "--duplicate",
            "--secret-env",
            "S",
        ];
        let mut command = server.command(&arguments);
        command.env("S", if provider == "adyen" { hex } else { CALLBACK_SECRET });
        let sent = finish(command).well();
        let expected = if provider == "adyen" { "[accepted]" } else { "(a duplicate)" };
        assert_eq!(sent.matches(expected).count(), if provider == "adyen" { 2 } else { 1 }, "{provider}: {sent}");
    }
    let listed = server.json(&["inbox", "list", "shop-dev"]);
    let taken: std::collections::BTreeSet<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["provider"].as_str().unwrap(), entry["duplicates"].as_u64()))
        .collect();
    assert_eq!(taken, providers.iter().map(|(provider, ..)| (*provider, Some(1))).collect());
    let mut question = server.command(&[
        "webhook",
        "send",
        "slack",
        "--workspace",
        "shop-dev",
        "--fixture",
        "url_verification",
        "--secret-env",
        "S",
    ]);
    question.env("S", CALLBACK_SECRET);
    assert!(finish(question).well().contains("HTTP 200 3eZbrw1a"));
}
