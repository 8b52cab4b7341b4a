//! Adyen. The key and the first vector are those of the tests of Adyen's own libraries; all were made with
//! `Adyen` 13 for Python (`generate_notification_sig`), the first also with `@adyen/api-library` for Node.

use super::*;

pub(super) const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
pub(super) const AUTHORISATION: &[u8] = br#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},"amount":{"value":1130,"currency":"EUR"},"pspReference":"7914073381342284","eventCode":"AUTHORISATION","eventDate":"2019-05-06T17:15:34.121+02:00","merchantAccountCode":"TestMerchant","operations":["CANCEL","CAPTURE","REFUND"],"merchantReference":"TestPayment-1407325143704","paymentMethod":"visa","success":"true"}}]}"#;
/// A refund of `order:17\a`: neither the colon nor the backslash is escaped.
const REFUND: &[u8] = br#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"@"},"amount":{"value":500,"currency":"EUR"},"pspReference":"8535516988417931","originalReference":"9313547924770610","eventCode":"REFUND","merchantAccountCode":"ShopCOM","merchantReference":"order:17\\a","success":"true"}}]}"#;
const REFUND_SIGNATURE: &str = "BsKP2ZxDmLTk1OvzKGgFYoQioTPV6apVHdIovyFvJGQ=";

const SIGNED: [&str; 9] = [
    "/pspReference",
    "/originalReference",
    "/merchantAccountCode",
    "/merchantReference",
    "/amount/value",
    "/amount/currency",
    "/eventCode",
    "/success",
    "/additionalData/hmacSignature",
];

/// Whether two bodies say the same in all that is signed.
pub(super) fn says_the_same(body: &[u8], as_this: &[u8]) -> bool {
    let read = |body: &[u8]| -> Option<Vec<Value>> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let items = body.get("notificationItems")?.as_array()?;
        let item = items.first().filter(|_| items.len() == 1)?.get("NotificationRequestItem")?;
        Some(SIGNED.iter().map(|at| item.pointer(at).cloned().unwrap_or_default()).collect())
    };
    let (one, other) = (read(body), read(as_this));
    one.is_some() && one == other
}

fn takes(body: &[u8]) -> Result<(), SignatureError> {
    verify(&Adyen, &HeaderMap::new(), body, &[secret(KEY)])
}

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(AUTHORISATION).unwrap();
    change(&mut body["notificationItems"][0]["NotificationRequestItem"]);
    serde_json::to_vec(&body).unwrap()
}

#[test]
fn inv_42_the_vectors_of_adyens_libraries_hold() {
    assert_eq!(takes(AUTHORISATION), Ok(()));
    assert_eq!(verify(&Adyen, &HeaderMap::new(), AUTHORISATION, &[secret(&KEY.to_lowercase())]), Ok(()));
    let refund = String::from_utf8(REFUND.to_vec()).unwrap().replace('@', REFUND_SIGNATURE);
    assert_eq!(takes(refund.as_bytes()), Ok(()));
    let none = HeaderMap::new();
    let facts = Adyen.event(&InboundWebhook::new(&none, refund.as_bytes()), None).unwrap();
    assert_eq!((facts.event_id.as_str(), facts.account.as_deref()), ("8535516988417931:REFUND:true", Some("ShopCOM")));
    let fixture = Fixture::new(refund.as_bytes(), "unused");
    let signed = Adyen.signed_body(&fixture, &secret(KEY)).unwrap();
    assert!(says_the_same(&signed, refund.as_bytes()), "our own signature is theirs");
}

#[test]
fn inv_42_each_signed_field_counts_and_the_others_do_not() {
    for (pointer, to) in [
        ("/pspReference", json!("7914073381342285")),
        ("/originalReference", json!("1")),
        ("/merchantAccountCode", json!("OtherMerchant")),
        ("/merchantReference", json!("TestPayment-1")),
        ("/amount/value", json!(1131)),
        ("/amount/currency", json!("USD")),
        ("/eventCode", json!("CANCELLATION")),
        ("/success", json!("false")),
    ] {
        let body = changed(|item| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            item.pointer_mut(parent).unwrap()[name] = to.clone();
        });
        assert_eq!(takes(&body), Err(SignatureError::Mismatch), "{pointer}");
    }
    assert_eq!(takes(&changed(|item| item["paymentMethod"] = json!("mc"))), Ok(()), "this one is not signed");
    assert_eq!(takes(&changed(|item| item["success"] = json!(true))), Ok(()), "the same in another type");
}

/// What was signed as one text must not be cut into other fields.
#[test]
fn inv_17_the_signed_text_is_read_in_one_way_only() {
    let moved = changed(|item| {
        // 7914073381342284::TestMerchant:TestPayment-… with the account moved into the reference of the original.
        item["originalReference"] = json!(":TestMerchant");
        item["merchantAccountCode"] = json!("TestPayment-1407325143704");
        item["merchantReference"] = json!("1130");
    });
    assert_eq!(takes(&moved), Err(SignatureError::Malformed));
    let moved = changed(|item| {
        item["pspReference"] = json!("7914073381342284:");
        item["originalReference"] = json!("TestMerchant");
    });
    assert_eq!(takes(&moved), Err(SignatureError::Malformed));
}

#[test]
fn a_request_of_several_items_or_none_is_refused_whole() {
    let none = HeaderMap::new();
    let mut body: Value = serde_json::from_slice(AUTHORISATION).unwrap();
    let item = body["notificationItems"][0].clone();
    body["notificationItems"].as_array_mut().unwrap().push(item);
    let several = serde_json::to_vec(&body).unwrap();
    let request = InboundWebhook::new(&none, &several);
    assert_eq!(Adyen.account(&request, None), Err(EventError::Several));
    assert_eq!(Adyen.event(&request, None), Err(EventError::Several));
    assert_eq!(takes(&several), Err(SignatureError::Malformed));
    for body in [
        &br#"{}"#[..],
        br#"{"notificationItems":[]}"#,
        br#"{"notificationItems":[1]}"#,
        br#"{"notificationItems":{}}"#,
        b"[]",
    ] {
        let request = InboundWebhook::new(&none, body);
        assert_eq!(Adyen.account(&request, None), Err(EventError::Malformed));
        assert_eq!(takes(body), Err(SignatureError::Malformed));
    }
}

#[test]
fn inv_42_a_crooked_signature_or_key_of_adyen_is_refused() {
    let with = |signature: Value| takes(&changed(|item| item["additionalData"]["hmacSignature"] = signature));
    assert_eq!(takes(&changed(|item| item["additionalData"] = json!({}))), Err(SignatureError::Missing));
    assert_eq!(with(json!(null)), Err(SignatureError::Missing));
    assert_eq!(with(json!(["a"])), Err(SignatureError::Malformed));
    assert_eq!(with(json!("coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0")), Err(SignatureError::Malformed));
    assert_eq!(with(json!("")), Err(SignatureError::Mismatch));
    assert_eq!(with(json!("A".repeat(5_000))), Err(SignatureError::TooLong));
    for key in ["", "  ", "no hex", "abc"] {
        assert_eq!(verify(&Adyen, &HeaderMap::new(), AUTHORISATION, &[secret(key)]), Err(SignatureError::NoSecret));
    }
}

#[test]
fn only_adyen_wants_to_read_more_than_that_it_was_taken() {
    for provider in providers() {
        assert_eq!(provider.acknowledgement(), (provider.name() == "adyen").then_some("[accepted]"));
    }
}
