//! Paddle. The vector was made with, and verified by, Paddle's own Python library (`paddle-python-sdk` 1.x,
//! `PaddleSignature.verify`).

use super::*;

pub(super) const SECRET: &str = "pdl_ntfset_01gkpjp8bkm3tm53kdgkx6sms7_6h3qd3uFSi9YCD3OLYAShQI90XTI5vEI";
pub(super) const BODY: &[u8] = br#"{"event_id":"evt_01hv8wq6hdkx3gdy1mq1f9p0c9","event_type":"transaction.completed","occurred_at":"2023-11-14T22:13:20.000000Z","notification_id":"ntf_01hv8wq6jz1t0s4x8p4d9n1fyb","data":{"id":"txn_01hv8wptq8987qeep44cyrewp9"}}"#;
const HEX: &str = "434ad13741715a36a7ac5e88a3a6dcab77acf9aa5c8a68e34e24cf0525c811f0";

fn paddle(value: &str) -> Result<(), SignatureError> {
    verify(&Paddle, &headers(&[("Paddle-Signature", value)]), BODY, &[secret(SECRET)])
}

#[test]
fn inv_42_the_vector_of_paddles_library_holds() {
    let other = "0".repeat(64);
    for value in [
        format!("ts=1700000000;h1={HEX}"),
        format!("h1={HEX};ts=1700000000"),
        format!("ts=1700000000;h1={other};h1={HEX}"),
        format!("ts=1700000000;h2=later;h1={HEX}"),
    ] {
        assert_eq!(paddle(&value), Ok(()), "{value}");
    }
}

#[test]
fn inv_42_a_crooked_header_of_paddle_is_refused() {
    for (value, why) in [
        (String::new(), SignatureError::Malformed),
        ("ts=1700000000".into(), SignatureError::Missing),
        (format!("h1={HEX}"), SignatureError::Missing),
        (format!("ts=1700000000;ts=1700000000;h1={HEX}"), SignatureError::Repeated),
        (format!("ts=1700000000;h1={}", HEX.to_uppercase()), SignatureError::Malformed),
        (format!("ts=1700000000;h1={}", &HEX[..62]), SignatureError::Malformed),
        (format!("ts=1700000000; h1={HEX}"), SignatureError::Malformed),
        (format!("ts=1700000000,h1={HEX}"), SignatureError::Missing),
        (format!("ts=01700000000;h1={HEX}"), SignatureError::Malformed),
        (format!("ts=1699999699;h1={HEX}"), SignatureError::Stale),
        (format!("ts=1700000301;h1={HEX}"), SignatureError::Early),
        (format!("ts=1700000001;h1={HEX}"), SignatureError::Mismatch),
        (format!("ts=1700000000{}", format!(";h1={HEX}").repeat(17)), SignatureError::TooMany),
    ] {
        assert_eq!(paddle(&value), Err(why), "{value}");
    }
}

#[test]
fn a_route_may_ask_for_the_tolerance_of_paddles_own_libraries() {
    let sent = headers(&[("Paddle-Signature", &format!("ts=1700000000;h1={HEX}"))]);
    let settings = json!({"tolerance_s": 5});
    let at = |seconds: i64| {
        let now = Timestamp::from_unix_ms(NOW.unix_ms() + seconds * 1_000);
        Paddle.verify(&InboundWebhook::new(&sent, BODY), &[secret(SECRET)], Some(&settings), now)
    };
    assert_eq!((at(5), at(-5)), (Ok(()), Ok(())));
    assert_eq!((at(6), at(-6)), (Err(SignatureError::Stale), Err(SignatureError::Early)));
    for wrong in [json!({"tolerance_s": 0}), json!({"tolerance_s": 301}), json!({"tolerance_s": "5"}), json!([])] {
        assert_eq!(Paddle.check_settings(Some(&wrong)).len(), 1, "{wrong}");
    }
    assert_eq!(Paddle.check_settings(Some(&json!({"tolerance_s": 1.5, "a/b": 1}))).len(), 2);
}
