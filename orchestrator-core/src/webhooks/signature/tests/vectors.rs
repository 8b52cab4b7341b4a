//! What each provider signs, by its own published words or by an HMAC made by hand.

use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use standardwebhooks::Webhook;

use super::*;

/// HMAC as RFC 2104 writes it, without the code under test.
fn by_hand(algorithm: &'static digest::Algorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = vec![0; algorithm.block_len()];
    assert!(key.len() <= block.len());
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = digest::digest(algorithm, &[pad(0x36).as_slice(), message].concat());
    digest::digest(algorithm, &[pad(0x5c).as_slice(), inner.as_ref()].concat()).as_ref().to_vec()
}

fn with_time(separator: &str, message: &[u8]) -> Vec<u8> {
    [b"1700000000", separator.as_bytes(), message].concat()
}

#[test]
fn inv_42_stripe_signs_time_and_body() {
    let hex = HEXLOWER.encode(&by_hand(&digest::SHA256, b"whsec_test_secret", &with_time(".", BODY)));
    assert_eq!(hex, "a2e9186fab740f67257fc5205a3c8f4946169e17ff61bdf724e9ed10aff1974c");
    let secrets = [secret("whsec_other"), secret("whsec_test_secret")];
    let other = "0".repeat(64);
    for value in [
        format!("t=1700000000,v1={hex}"),
        format!("v1={hex},t=1700000000"),
        format!("t=1700000000,v1={other},v1={hex}"),
        format!("t=1700000000,v1={hex},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"),
        format!("t=1700000000,v1={hex},v2=whatever"),
        format!("t=1700000000{},v1={hex}", format!(",v1={other}").repeat(15)),
    ] {
        assert_eq!(verify(&Stripe, &headers(&[("Stripe-Signature", &value)]), BODY, &secrets), Ok(()), "{value}");
    }
}

#[test]
fn inv_42_the_published_vector_of_github_holds() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let sent =
        headers(&[("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "72d3162e"), ("X-GitHub-Event", "issues")]);
    let secrets = [secret("It's a Secret to Everybody")];
    assert_eq!(verify(&GitHub, &sent, b"Hello, World!", &secrets), Ok(()));
    assert_eq!(verify(&GitHub, &sent, b"Hello, World?", &secrets), Err(SignatureError::Mismatch));
    // The facts of GitHub stand in headers: the body need not be JSON.
    let facts = GitHub.event(&InboundWebhook::new(&sent, b"Hello, World!"), None).unwrap();
    assert_eq!(
        (facts.event_id.as_str(), facts.event_type.as_deref(), facts.account),
        ("72d3162e", Some("issues"), None)
    );
}

#[test]
fn inv_42_the_published_vector_of_slack_holds() {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let sent = headers(&[
        ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("X-Slack-Request-Timestamp", "1531420618"),
    ]);
    let (secrets, then) = ([secret("8f742231b10e8888abcd99yyyzzz85a5")], Timestamp::from_unix_ms(1_531_420_618_000));
    let request = InboundWebhook::new(&sent, body);
    assert_eq!(Slack.verify(&request, &secrets, None, then), Ok(()));
    assert_eq!(Slack.verify(&request, &secrets, None, NOW), Err(SignatureError::Stale));
}

#[test]
fn inv_42_shopify_signs_the_body_in_base64() {
    let signature = BASE64.encode(&by_hand(&digest::SHA256, b"hush", BODY));
    assert_eq!(signature, "0rI9p8OQ/tWUcmjLRWfYkbsdtzRN7AXEr7qMABSFoz8=");
    let sent = headers(&[
        ("X-Shopify-Hmac-Sha256", &signature),
        ("X-Shopify-Event-Id", "98880550"),
        ("X-Shopify-Webhook-Id", "b54557e4"),
        ("X-Shopify-Topic", "orders/create"),
        ("X-Shopify-Shop-Domain", "bright.myshopify.com"),
    ]);
    assert_eq!(verify(&Shopify, &sent, BODY, &[secret("hush")]), Ok(()));
    let facts = Shopify.event(&InboundWebhook::new(&sent, BODY), None).unwrap();
    assert_eq!(
        (facts.event_id.as_str(), facts.event_type.as_deref()),
        ("98880550:orders/create", Some("orders/create"))
    );
    assert_eq!(facts.account.as_deref(), Some("bright.myshopify.com"));
}

#[test]
fn inv_42_a_sender_of_the_standard_is_verified() {
    let text = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let signed = Webhook::new(text).unwrap().sign("msg_1", 1_700_000_000, BODY).unwrap();
    let other = format!("v1,{}", BASE64.encode(&[0; 32]));
    for value in [
        signed.clone(),
        format!("{other} {signed}"),
        format!("v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B {signed}"),
    ] {
        let sent =
            headers(&[("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &value)]);
        assert_eq!(verify(&StandardWebhooks, &sent, BODY, &[secret(text)]), Ok(()), "{value}");
        let facts = StandardWebhooks.event(&InboundWebhook::new(&sent, BODY), None).unwrap();
        assert_eq!((facts.event_id.as_str(), facts.event_type.as_deref()), ("msg_1", Some("charge.succeeded")));
    }
}

#[test]
fn inv_42_our_own_fixtures_of_the_standard_verify_outside() {
    let text = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let now = crate::clock::Clock::now(&crate::clock::SystemClock);
    let signed = StandardWebhooks.sign(&Fixture::new(BODY, "msg_1"), &secret(text), now).unwrap();
    Webhook::new(text).unwrap().verify(BODY, &signed).unwrap();
}

#[test]
fn inv_42_a_configured_hmac_is_what_its_settings_say() {
    for (settings, algorithm, message, encode) in [
        (json!({"header": "X-Sign", "id_pointer": "/id"}), &digest::SHA256, BODY.to_vec(), "hex"),
        (
            json!({"header": "X-Sign", "id_pointer": "/id", "algorithm": "sha1", "prefix": "sha1="}),
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            BODY.to_vec(),
            "hex",
        ),
        (
            json!({"header": "X-Sign", "id_pointer": "/id", "algorithm": "sha512", "encoding": "base64", "timestamp_header": "X-Time"}),
            &digest::SHA512,
            with_time(".", BODY),
            "base64",
        ),
    ] {
        let tag = by_hand(algorithm, b"hush", &message);
        let encoded = if encode == "hex" { HEXLOWER.encode(&tag) } else { BASE64.encode(&tag) };
        let value = format!("{}{encoded}", settings.get("prefix").and_then(Value::as_str).unwrap_or_default());
        let sent = headers(&[("X-Sign", &value), ("X-Time", "1700000000")]);
        let request = InboundWebhook::new(&sent, BODY);
        assert_eq!(Hmac.verify(&request, &[secret("hush")], Some(&settings), NOW), Ok(()), "{settings}");
        assert_eq!(Hmac.verify(&request, &[secret("hash")], Some(&settings), NOW), Err(SignatureError::Mismatch));
        assert!(Hmac.check_settings(Some(&settings)).is_empty());
    }
}
