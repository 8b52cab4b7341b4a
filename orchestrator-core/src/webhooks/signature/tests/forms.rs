//! Headers and bodies of crooked form, and what an event says of itself.

use super::*;

const HEX: &str = "a2e9186fab740f67257fc5205a3c8f4946169e17ff61bdf724e9ed10aff1974c";

fn stripe(value: &str) -> Result<(), SignatureError> {
    verify(&Stripe, &headers(&[("Stripe-Signature", value)]), BODY, &[secret("whsec_test_secret")])
}

#[test]
fn inv_42_a_crooked_header_of_stripe_is_refused() {
    assert_eq!(stripe(&format!("t=1700000000,v1={HEX}")), Ok(()));
    for (value, why) in [
        (String::new(), SignatureError::Malformed),
        ("t=1700000000".into(), SignatureError::Missing),
        (format!("v1={HEX}"), SignatureError::Missing),
        (format!("t=1700000000,v0={HEX}"), SignatureError::Missing),
        (format!("t=1700000000,t=1700000000,v1={HEX}"), SignatureError::Repeated),
        (format!("t=1700000000,v1={}", HEX.to_uppercase()), SignatureError::Malformed),
        (format!("t=1700000000,v1={}", &HEX[..63]), SignatureError::Malformed),
        (format!("t=1700000000,v1={HEX}00"), SignatureError::Malformed),
        (format!("t=1700000000,v1=,v1={HEX}"), SignatureError::Malformed),
        (format!("t=1700000000, v1={HEX}"), SignatureError::Malformed),
        (format!(" t=1700000000,v1={HEX}"), SignatureError::Malformed),
        (format!("t=1700000000,v1={HEX},"), SignatureError::Malformed),
        (format!("t=1700000000,,v1={HEX}"), SignatureError::Malformed),
        (format!("t=1700000000;v1={HEX}"), SignatureError::Missing),
        (format!("t=-1700000000,v1={HEX}"), SignatureError::Malformed),
        (format!("t=01700000000,v1={HEX}"), SignatureError::Malformed),
        (format!("t={},v1={HEX}", "9".repeat(40)), SignatureError::Malformed),
        (format!("t=1699999699,v1={HEX}"), SignatureError::Stale),
        (format!("t=1700000301,v1={HEX}"), SignatureError::Early),
        (format!("t=1700000001,v1={HEX}"), SignatureError::Mismatch),
        (format!("t=1700000000{}", format!(",v1={HEX}").repeat(17)), SignatureError::TooMany),
        (format!("t=1700000000,v1={HEX}{}", ",a=b".repeat(31)), SignatureError::TooMany),
        (format!("t=1700000000{}", format!(",v1={HEX}").repeat(1_000)), SignatureError::TooLong),
    ] {
        assert_eq!(stripe(&value), Err(why), "{value}");
    }
}

#[test]
fn inv_42_a_header_that_is_missing_or_stands_twice_is_refused() {
    for case in Case::all() {
        let sent = case.sign();
        for name in case.covered() {
            let mut without = sent.clone();
            without.remove(&name);
            assert_eq!(case.takes(&without, case.body), Err(SignatureError::Missing), "{name}");
            let mut twice = sent.clone();
            twice.append(&name, sent[&name].clone());
            assert_eq!(case.takes(&twice, case.body), Err(SignatureError::Repeated), "{name}");
            let mut long = sent.clone();
            long.insert(&name, HeaderValue::from_str(&"a".repeat(4_097)).unwrap());
            assert_eq!(case.takes(&long, case.body), Err(SignatureError::TooLong), "{name}");
        }
    }
}

#[test]
fn inv_42_any_active_secret_verifies_and_no_blank_one_does() {
    for case in Case::all() {
        let sent = case.sign();
        let adyen = case.provider.name() == "adyen";
        let other = if adyen { "00ff" } else { "whsec_AAAAsBQIhrscChlQIMV+b5sSYspob7oD" };
        let all = [secret(other), case.secret.clone(), secret("")];
        assert_eq!(case.verify(&sent, case.body, &all, NOW), Ok(()));
        assert_eq!(case.verify(&sent, case.body, &all[..1], NOW), Err(SignatureError::Mismatch));
        assert_eq!(case.verify(&sent, case.body, &all[2..], NOW), Err(SignatureError::NoSecret));
        assert_eq!(case.verify(&sent, case.body, &[secret("  ")], NOW), Err(SignatureError::NoSecret));
        assert_eq!(case.verify(&sent, case.body, &[], NOW), Err(SignatureError::NoSecret));
    }
}

#[test]
fn inv_42_where_a_scheme_has_a_time_it_is_kept() {
    for case in Case::all() {
        let sent = case.sign();
        let timed = case.covered().iter().any(|name| name.as_str().contains("time"))
            || ["stripe", "paddle"].contains(&case.provider.name());
        for (away, refusal) in [
            (-301, SignatureError::Early),
            (-300, SignatureError::Mismatch),
            (300, SignatureError::Mismatch),
            (301, SignatureError::Stale),
        ] {
            let now = Timestamp::from_unix_ms(NOW.unix_ms() + away * 1_000);
            let expected = if timed && away.abs() > 300 { Err(refusal) } else { Ok(()) };
            assert_eq!(case.verify(&sent, case.body, std::slice::from_ref(&case.secret), now), expected);
        }
    }
}

#[test]
fn inv_42_every_refusal_reads_the_same() {
    use SignatureError as E;
    let all = [
        E::Missing,
        E::Repeated,
        E::TooLong,
        E::Malformed,
        E::TooMany,
        E::Stale,
        E::Early,
        E::NoSecret,
        E::Settings,
        E::Mismatch,
    ];
    let causes: std::collections::BTreeSet<&str> = all.iter().map(|error| error.cause()).collect();
    assert_eq!(causes.len(), all.len());
    assert!(all.iter().all(|error| error.to_string() == all[0].to_string()));
}

#[test]
fn an_event_says_what_it_is_where_its_provider_puts_it() {
    let facts = |id: &str, kind: Option<&str>, account: Option<&str>| EventFacts {
        event_id: id.into(),
        event_type: kind.map(Into::into),
        account: account.map(Into::into),
    };
    let expected = [
        facts("evt_1", Some("charge.succeeded"), Some("acct_123")),
        facts("id_1", Some("orders/create"), None),
        facts("id_1", Some("orders/create"), Some("shop.example")),
        facts("Ev1", Some("message"), Some("T1")),
        facts("id_1", Some("charge.succeeded"), None),
        facts("evt_1", Some("charge.succeeded"), Some("acct_123")),
        facts("id_1", None, None),
        facts("evt_1", None, None),
        facts("evt_01hv8wq6hdkx3gdy1mq1f9p0c9", Some("transaction.completed"), None),
        facts("7914073381342284:AUTHORISATION:true", Some("AUTHORISATION"), Some("TestMerchant")),
    ];
    for (case, expected) in Case::all().iter().zip(expected) {
        let sent = case.sign();
        let request = InboundWebhook::new(&sent, case.body);
        assert_eq!(case.takes(&sent, case.body), Ok(()));
        assert_eq!(case.provider.event(&request, case.settings.as_ref()).unwrap(), expected);
        assert_eq!(case.provider.account(&request, case.settings.as_ref()).unwrap(), expected.account);
    }
}

#[test]
fn inv_17_what_stands_for_an_account_and_is_none_names_nobody() {
    let none = HeaderMap::new();
    for (body, expected) in [
        (&br#"{"id":"e"}"#[..], Ok(None)),
        (br#"{"account":null}"#, Ok(None)),
        (br#"{"account":"acct_1"}"#, Ok(Some("acct_1".to_owned()))),
        (br#"{"account":42}"#, Ok(Some("42".to_owned()))),
        (br#"{"account":""}"#, Err(EventError::Malformed)),
        (br#"{"account":" acct_1"}"#, Err(EventError::Malformed)),
        (br#"{"account":"acct_1\u0000"}"#, Err(EventError::Malformed)),
        (br#"{"account":["acct_1"]}"#, Err(EventError::Malformed)),
        (br#"{"account":{}}"#, Err(EventError::Malformed)),
        (br#"{"account":1.5}"#, Err(EventError::Malformed)),
        (b"nothing", Err(EventError::Body(BodyError::NotJson))),
    ] {
        assert_eq!(
            Stripe.account(&InboundWebhook::new(&none, body), None),
            expected,
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    let deep = [b"{\"account\":".to_vec(), b"[".repeat(100)].concat();
    let refused = Stripe.account(&InboundWebhook::new(&none, &deep), None);
    assert_eq!(refused, Err(EventError::Body(BodyError::TooDeep)));
    let doubled = headers(&[("X-Shopify-Shop-Domain", "a.example"), ("X-Shopify-Shop-Domain", "b.example")]);
    assert_eq!(Shopify.account(&InboundWebhook::new(&doubled, b"{}"), None), Err(EventError::Malformed));
}

#[test]
fn an_event_without_an_id_is_refused() {
    for case in Case::all() {
        let none = HeaderMap::new();
        let refused = case.provider.event(&InboundWebhook::new(&none, b"{}"), case.settings.as_ref());
        assert_eq!(refused, Err(EventError::NoId), "{}", case.provider.name());
    }
    let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(256));
    let none = HeaderMap::new();
    assert_eq!(Stripe.event(&InboundWebhook::new(&none, long.as_bytes()), None), Err(EventError::Malformed));
}

#[test]
fn shopify_without_an_event_id_is_told_by_its_delivery() {
    let sent = headers(&[("X-Shopify-Webhook-Id", "b54557e4")]);
    assert_eq!(Shopify.event(&InboundWebhook::new(&sent, BODY), None).unwrap().event_id, "b54557e4");
}

#[test]
fn only_slack_asks_for_a_challenge() {
    let (none, asked) = (HeaderMap::new(), br#"{"type":"url_verification","challenge":"3eZbrw1a"}"#);
    for provider in providers() {
        let answer = provider.challenge(&InboundWebhook::new(&none, asked));
        assert_eq!(answer.as_deref(), (provider.name() == "slack").then_some("3eZbrw1a"));
        assert_eq!(provider.challenge(&InboundWebhook::new(&none, BODY)), None);
    }
}

#[test]
fn every_provider_has_a_name_of_its_own_and_is_found_by_it() {
    let names: std::collections::BTreeSet<&str> = providers().iter().map(|provider| provider.name()).collect();
    assert_eq!(names.len(), 8);
    for name in names {
        assert_eq!(provider(name).unwrap().name(), name);
        assert!(name.parse::<orchestrator_types::Name>().is_ok());
    }
    assert!(provider("Stripe").is_none() && provider("").is_none());
}

#[test]
fn the_header_of_the_signature_is_not_kept() {
    for case in Case::all() {
        let redacted = case.provider.redacted_headers(case.settings.as_ref());
        let covered = case.covered();
        assert!(covered.is_empty() || covered.iter().any(|name| redacted.contains(name)), "{}", case.provider.name());
        let wrong = case.provider.check_settings(Some(&json!({"colour": "red"})));
        assert!(!wrong.is_empty() && case.provider.check_settings(case.settings.as_ref()).is_empty());
    }
}

#[test]
fn a_fixture_is_not_signed_with_a_blank_secret() {
    for case in Case::all() {
        let fixture = Fixture { settings: case.settings.as_ref(), ..Fixture::new(case.body, "id_1") };
        assert!(case.provider.sign(&fixture, &secret(" "), NOW).is_err());
        if case.provider.name() == "hmac" {
            let unset = Fixture::new(case.body, "id_1");
            assert_eq!(case.provider.sign(&unset, &case.secret, NOW), Err(FixtureError::Settings));
        }
    }
}

#[test]
fn hmac_without_its_settings_verifies_nothing() {
    let sent = headers(&[("X-Signature", "00")]);
    assert_eq!(verify(&Hmac, &sent, BODY, &[secret("hush")]), Err(SignatureError::Settings));
}
