//! How a client says who it is: in the form, in a `Basic` header, or by a signed assertion; in exactly one of them.

use axum::extract::{Form, FromRequest, Request};
use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use orchestrator_core::secrets::Secret;
use orchestrator_types::TokenRequest;

use crate::problem::Refusal;
use crate::tokens::Assertion;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const MAX_TEXT: usize = 255;

/// What a client proves itself by.
#[derive(Debug)]
pub enum ClientProof<'a> {
    /// Id and secret.
    Secret {
        /// The id.
        client_id: String,
        /// The secret.
        client_secret: Secret,
    },
    /// A token signed with its own key.
    Assertion(Assertion<'a>),
}

impl ClientProof<'_> {
    /// The client that it claims to be.
    #[must_use]
    pub fn client_id(&self) -> &str {
        match self {
            Self::Secret { client_id, .. } => client_id,
            Self::Assertion(assertion) => assertion.client_id(),
        }
    }
}

/// The form of a token request. Parameters that are not known are ignored, as the standard asks; none may be repeated.
///
/// # Errors
/// It is no form, or a parameter is repeated.
pub async fn read_form(headers: &HeaderMap, body: Bytes) -> Result<TokenRequest, Refusal> {
    let wrong = || refused("invalid_request", "the body must be a form with each parameter once");
    let mut request = Request::post("/").body(axum::body::Body::from(body)).map_err(|_| wrong())?;
    let kind = headers.get(CONTENT_TYPE).ok_or_else(wrong)?;
    request.headers_mut().insert(CONTENT_TYPE, kind.clone());
    let Form(form) = Form::from_request(request, &()).await.map_err(|_| wrong())?;
    Ok(form)
}

/// What the client proves itself by.
///
/// # Errors
/// It says it in two ways, or in none, or not well.
pub fn client_proof<'a>(headers: &HeaderMap, form: &'a TokenRequest) -> Result<ClientProof<'a>, Refusal> {
    let basic = basic(headers)?;
    let posted = form.client_secret.is_some();
    let signed = form.client_assertion.is_some() || form.client_assertion_type.is_some();
    if usize::from(basic.is_some()) + usize::from(posted) + usize::from(signed) > 1 {
        return Err(refused("invalid_request", "a client proves itself in one way only"));
    }
    if signed {
        let text = form.client_assertion.as_deref().unwrap_or_default();
        let known = form.client_assertion_type.as_deref() == Some(ASSERTION_TYPE);
        let assertion = Assertion::read(text).ok().filter(|_| known).ok_or_else(invalid_client)?;
        if form.client_id.as_deref().is_some_and(|id| id != assertion.client_id()) {
            return Err(invalid_client());
        }
        return Ok(ClientProof::Assertion(assertion));
    }
    let (client_id, client_secret) = match basic {
        Some((id, _)) if form.client_id.as_ref().is_some_and(|posted| *posted != id) => return Err(invalid_client()),
        Some(proof) => proof,
        None => match (&form.client_id, &form.client_secret) {
            (Some(id), Some(secret)) => (id.clone(), Secret::new(secret.clone())),
            _ => return Err(invalid_client()),
        },
    };
    let sound = |text: &str| (1..=MAX_TEXT).contains(&text.len());
    if !sound(&client_id) || !sound(client_secret.expose()) {
        return Err(invalid_client());
    }
    Ok(ClientProof::Secret { client_id, client_secret })
}

/// 401, in one wording for every cause.
#[must_use]
pub fn invalid_client() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "invalid_client", "the client is not known by this id and proof").oauth()
}

fn refused(code: &'static str, detail: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, detail).oauth()
}

fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret)>, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let proof = (|| {
        let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || all.next().is_some() {
            return None;
        }
        let text = String::from_utf8(BASE64.decode(text.trim().as_bytes()).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((id.to_owned(), Secret::new(secret.to_owned())))
    })();
    proof.map(Some).ok_or_else(invalid_client)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    async fn form(text: &'static str) -> Result<TokenRequest, Refusal> {
        let headers = headers(&[(CONTENT_TYPE, "application/x-www-form-urlencoded")]);
        read_form(&headers, Bytes::from_static(text.as_bytes())).await
    }

    #[tokio::test]
    async fn a_client_proves_itself_by_form_or_header() {
        let posted =
            form("grant_type=client_credentials&client_id=a-dev.b&client_secret=s%2Bt&x=ignored").await.unwrap();
        let basic = headers(&[(AUTHORIZATION, "Basic YS1kZXYuYjpzK3Q=")]);
        for (headers, form) in [(HeaderMap::new(), &posted), (basic, &TokenRequest::default())] {
            let ClientProof::Secret { client_id, client_secret } = client_proof(&headers, form).unwrap() else {
                panic!("a secret");
            };
            assert_eq!((client_id.as_str(), client_secret.expose()), ("a-dev.b", "s+t"));
        }
    }

    #[tokio::test]
    async fn a_form_with_a_parameter_twice_is_no_form() {
        for text in ["grant_type=a&grant_type=b", "client_id=a&client_id=b", "%ff=%zz&grant_type"] {
            let read = form(text).await;
            assert!(read.is_err() || text.starts_with('%'), "{text}");
        }
        assert!(read_form(&headers(&[(CONTENT_TYPE, "text/plain")]), Bytes::new()).await.is_err());
        assert!(read_form(&HeaderMap::new(), Bytes::new()).await.is_err());
    }

    #[tokio::test]
    async fn two_proofs_or_none_are_refused() {
        let basic = |text: &str| headers(&[(AUTHORIZATION, text)]);
        let posted = form("client_id=a&client_secret=b").await.unwrap();
        let signed = TokenRequest { client_assertion: Some("x.y.z".to_owned()), ..TokenRequest::default() };
        for (headers, form) in [
            (basic("Basic YTpi"), &posted),
            (basic("Bearer x"), &TokenRequest::default()),
            (basic("Basic !"), &TokenRequest::default()),
            (basic("Basic YWI="), &TokenRequest::default()),
            (basic("Basic YTo="), &TokenRequest::default()),
            (HeaderMap::new(), &TokenRequest::default()),
            (HeaderMap::new(), &signed),
            (HeaderMap::new(), &TokenRequest { client_secret: None, ..posted.clone() }),
            (basic("Basic YTpi"), &TokenRequest { client_id: Some("c".to_owned()), ..TokenRequest::default() }),
        ] {
            assert!(client_proof(&headers, form).is_err());
        }
    }
}
