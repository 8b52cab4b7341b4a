//! Thin events of Stripe. The vector was made with Stripe's own Python library (`stripe` 16.1, `WebhookSignature`),
//! which reads it with `parse_event_notification`.

use super::*;

const THIN: &[u8] = br#"{"id":"evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0","object":"v2.core.event","type":"v1.billing.meter.error_report_triggered","livemode":false,"created":"2023-11-14T22:13:20.000Z","context":"acct_123","related_object":{"id":"mtr_test_61R9","type":"billing.meter","url":"/v1/billing/meters/mtr_test_61R9"}}"#;
const HEX: &str = "4d6434da842bce241e6108c277896355fbf0af39bef44bf1ddf25dee80f5111f";

#[test]
fn inv_42_a_thin_event_of_stripe_is_verified_and_read() {
    let sent = headers(&[("Stripe-Signature", &format!("t=1700000000,v1={HEX}"))]);
    assert_eq!(verify(&Stripe, &sent, THIN, &[secret("whsec_test_secret")]), Ok(()));
    let facts = Stripe.event(&InboundWebhook::new(&sent, THIN), None).unwrap();
    assert_eq!(facts.event_id, "evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0");
    assert_eq!(facts.event_type.as_deref(), Some("v1.billing.meter.error_report_triggered"));
    assert_eq!(facts.account.as_deref(), Some("acct_123"));
}

#[test]
fn inv_17_the_account_of_a_thin_event_is_its_context() {
    let none = HeaderMap::new();
    for (body, expected) in [
        (&br#"{"object":"v2.core.event"}"#[..], Ok(None)),
        (br#"{"object":"v2.core.event","context":null}"#, Ok(None)),
        (br#"{"object":"v2.core.event","context":"acct_1"}"#, Ok(Some("acct_1".to_owned()))),
        (br#"{"object":"v2.core.event","context":"org_1/acct_1"}"#, Ok(Some("acct_1".to_owned()))),
        (br#"{"object":"v2.core.event","context":"org_1/"}"#, Err(EventError::Malformed)),
        (br#"{"object":"v2.core.event","context":["acct_1"]}"#, Err(EventError::Malformed)),
        // What a snapshot event calls its account says nothing in a thin one, and the other way round.
        (br#"{"object":"v2.core.event","account":"acct_2","context":"acct_1"}"#, Ok(Some("acct_1".to_owned()))),
        (br#"{"object":"event","account":"acct_2","context":"acct_1"}"#, Ok(Some("acct_2".to_owned()))),
    ] {
        let account = Stripe.account(&InboundWebhook::new(&none, body), None);
        assert_eq!(account, expected, "{}", String::from_utf8_lossy(body));
    }
}
