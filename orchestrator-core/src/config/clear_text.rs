//! Secrets in clear, where only references to them may stand: found by the name of their field, and by their shape.
//!
//! **The one rule:** what is found is told by its place, never by its value.

use orchestrator_types::FieldError;
use serde_json::Value;
use url::Url;

/// Beginnings that only secrets have, each with how many characters follow at least.
const BEGINNINGS: &[(&str, usize)] = &[
    // Payment providers.
    ("sk_live_", 1),
    ("sk_test_", 1),
    ("rk_live_", 1),
    ("rk_test_", 1),
    ("whsec_", 1),
    ("sq0csp-", 20),
    ("access_token$production$", 10),
    ("pdl_live_apikey_", 10),
    ("pdl_sdbx_apikey_", 10),
    // Code hosts and package registries.
    ("ghp_", 1),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 1),
    ("glpat-", 16),
    ("npm_", 36),
    ("pypi-", 50),
    // Clouds and their services.
    ("AKIA", 1),
    ("ASIA", 16),
    ("AIza", 1),
    ("ya29.", 16),
    ("GOCSPX-", 16),
    ("hvs.", 20),
    ("hvb.", 20),
    ("dop_v1_", 32),
    ("sntrys_", 20),
    // Chat, mail, shops.
    ("xoxb-", 1),
    ("xoxp-", 1),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("SG.", 40),
    ("shpat_", 16),
    ("shpss_", 16),
    ("shpca_", 16),
    ("shppa_", 16),
    ("key-", 32),
    // What a header would say.
    ("Bearer ", 8),
    ("Basic ", 8),
];

/// What a field is called whose text is a secret; the end of a name decides, without its case and signs.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "apikey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "accesskey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "apitoken",
    "bearertoken",
    "sessiontoken",
    "credential",
    "credentials",
];
/// The same, where the whole name must be it.
const WHOLE_NAMES: &[&str] = &["token", "authorization", "pwd", "bearer"];

/// Every secret in clear within `document`, which lies at `pointer`. References to secrets are no texts here, and fine.
pub(super) fn in_clear(document: &Value, pointer: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    look(document, &mut pointer.to_owned(), &mut found);
    found
}

fn look(value: &Value, pointer: &mut String, found: &mut Vec<FieldError>) {
    let length = pointer.len();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if has_shape(name) {
                    // Its place would name it.
                    tell(pointer, found);
                    continue;
                }
                pointer.push('/');
                pointer.push_str(&super::validate::escape(name));
                if by_name(name) && field.as_str().is_some_and(|text| !text.is_empty()) {
                    tell(pointer, found);
                } else {
                    look(field, pointer, found);
                }
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                look(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::String(text) if has_shape(text) => tell(pointer, found),
        _ => {}
    }
}

fn tell(pointer: &str, found: &mut Vec<FieldError>) {
    found.push(FieldError::new(pointer, "looks like a secret: put it behind a secret reference"));
}

fn by_name(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|word| name.ends_with(word)) || WHOLE_NAMES.contains(&name.as_str())
}

fn has_shape(text: &str) -> bool {
    let text = text.trim();
    BEGINNINGS.iter().any(|(beginning, rest)| begins(text, beginning, *rest))
        || private_key(text)
        || token(text)
        || url_with_password(text)
}

/// Whether the text begins so, and goes on with letters, digits and signs of a key for long enough.
fn begins(text: &str, beginning: &str, rest: usize) -> bool {
    text.strip_prefix(beginning).is_some_and(|after| {
        let key = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.=+/$:".contains(byte)).count();
        key >= rest
    })
}

/// A private key in PEM, wherever it stands in the text. Certificates and public keys are no secrets.
fn private_key(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let label = after.split("-----").next().unwrap_or_default();
        if label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK") {
            return true;
        }
        rest = after;
    }
    false
}

/// A signed token (JWT): three parts in base64url, the first of which is the beginning of a JSON object.
fn token(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let base64url = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // `{"` in base64.
    parts.len() == 3 && text.starts_with("eyJ") && parts.iter().all(base64url)
}

/// A URL with a password in it, also where it stands within a text.
fn url_with_password(text: &str) -> bool {
    let words = text.split(|letter: char| letter.is_whitespace() || "\"'<>,".contains(letter));
    words.filter(|word| word.contains("://")).any(|word| Url::parse(word).is_ok_and(|url| url.password().is_some()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(document: &Value) -> Vec<String> {
        in_clear(document, "").into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn inv_23_a_secret_in_clear_is_found_by_its_shape() {
        let forty = "a".repeat(40);
        let shapes = [
            "sk_live_51H8",
            "rk_test_1",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nMHc",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "Bearer abcdefgh123",
            "Basic dXNlcjpwYXNz",
            "postgres://user:pass@db.example/x",
            "see https://a:b@c.example/ there",
            "xapp-1-A0000000000-1",
            "  ghp_0123456789  ",
            "AIzaSyA",
        ];
        for text in shapes.into_iter().map(str::to_owned).chain([format!("SG.{forty}"), format!("npm_{forty}")]) {
            assert_eq!(found(&json!({"a": [{"note": text}]})), ["/a/0/note"], "{text}");
            assert_eq!(found(&json!({ text.as_str(): 1 })).len(), 1, "as a name: {text}");
        }
    }

    #[test]
    fn inv_23_a_secret_in_clear_is_found_by_the_name_of_its_field() {
        for name in [
            "password",
            "db_password",
            "clientSecret",
            "X-Api-Key",
            "token",
            "Authorization",
            "refresh_token",
            "pwd",
            "aws_secret_access_key",
            "privateKey",
            "passphrase",
            "signing-key",
        ] {
            assert_eq!(found(&json!({name: "x"})), [format!("/{name}")], "{name}");
            assert!(found(&json!({name: ""})).is_empty() && found(&json!({name: {"ref": "x"}})).is_empty(), "{name}");
        }
    }

    #[test]
    fn what_only_looks_a_little_like_a_secret_is_let_through() {
        for fine in [
            json!({"token_url": "https://a.example/oauth/token", "secret_name": "x", "tokens": 5, "passwords": true}),
            json!({"note": "Basic auth is used", "text": "Bearer of news", "key": "key-value", "plan": "npm_run"}),
            json!({"ca": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "jwt": "eyJ.a", "v": "1.2.3"}),
            json!({"url": "https://a.example/@b", "mail": "mailto:a@b.example", "user": "ftp://user@host/"}),
            json!({"input_schema": {"properties": {"password": {"type": "string"}}, "required": ["password"]}}),
        ] {
            assert!(found(&fine).is_empty(), "{fine}: {:?}", found(&fine));
        }
    }

    #[test]
    fn the_place_is_told_and_the_value_is_not() {
        let told = in_clear(&json!({"a/b": {"~c": "sk_live_canary"}}), "/settings");
        assert_eq!(told[0].pointer, "/settings/a~1b/~0c");
        assert!(!format!("{told:?}").contains("canary"));
    }
}
