//! Stripe's form encoding: what is nested goes into brackets, as `items[0][price]=price_1`.

use serde_json::{Map, Value};
use url::form_urlencoded;

/// The fields, one pair a value, in their order. Null is written as the empty text, which unsets a field.
pub(super) fn pairs(fields: &Map<String, Value>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, value) in fields {
        push(name.clone(), value, &mut pairs);
    }
    pairs
}

/// The same as the body of a form.
pub(super) fn encode(fields: &Map<String, Value>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(fields)).finish()
}

fn push(name: String, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Null => pairs.push((name, String::new())),
        Value::Bool(flag) => pairs.push((name, flag.to_string())),
        Value::Number(number) => pairs.push((name, number.to_string())),
        Value::String(text) => pairs.push((name, text.clone())),
        // A list or map without anything in it unsets the field, too.
        Value::Array(items) if items.is_empty() => pairs.push((name, String::new())),
        Value::Object(fields) if fields.is_empty() => pairs.push((name, String::new())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push(format!("{name}[{index}]"), item, pairs);
            }
        }
        Value::Object(fields) => {
            for (member, field) in fields {
                push(format!("{name}[{member}]"), field, pairs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_nested_goes_into_brackets() {
        let fields = json!({
            "amount": 500, "capture": false, "ratio": 0.5, "description": "caf\u{e9} & co", "coupon": null,
            "metadata": {"order": "7", "empty": {}}, "expand": ["customer", "charges.data"],
            "items": [{"price": "price_1", "tax_rates": ["a", "b"]}, {"price": "price_2", "quantity": 2}], "tags": [],
        });
        let written: Vec<String> =
            pairs(fields.as_object().unwrap()).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut sorted = written.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            [
                "amount=500",
                "capture=false",
                "coupon=",
                "description=caf\u{e9} & co",
                "expand[0]=customer",
                "expand[1]=charges.data",
                "items[0][price]=price_1",
                "items[0][tax_rates][0]=a",
                "items[0][tax_rates][1]=b",
                "items[1][price]=price_2",
                "items[1][quantity]=2",
                "metadata[empty]=",
                "metadata[order]=7",
                "ratio=0.5",
                "tags=",
            ]
        );
        let one = json!({"a": {"b c": ["d&e"]}});
        assert_eq!(encode(one.as_object().unwrap()), "a%5Bb+c%5D%5B0%5D=d%26e");
    }
}
