//! The extractor in a product's own axum server.

use axum::Router;
use axum::extract::FromRef;
use axum::routing::post;
use http::HeaderMap;
use orchestrator_client::callback::{CallbackVerifier, VerifiedCallback};
use orchestrator_types::{JobCallbackData, Problem};

use crate::callbacks::{SECRET, body, signed};
use crate::server::serve;

#[derive(Clone)]
struct Product {
    verifier: CallbackVerifier,
}

impl FromRef<Product> for CallbackVerifier {
    fn from_ref(product: &Product) -> Self {
        product.verifier.clone()
    }
}

async fn job_ended(VerifiedCallback(callback): VerifiedCallback<JobCallbackData>) -> String {
    format!("{} {}", callback.delivery, callback.body.data.attempts)
}

async fn deliver(headers: HeaderMap, body: Vec<u8>) -> reqwest::Response {
    let state = Product { verifier: CallbackVerifier::of(SECRET).unwrap() };
    let url = serve(Router::new().route("/callback", post(job_ended)).with_state(state)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.post(format!("{url}/callback")).headers(headers).body(body).send().await.unwrap()
}

async fn refusal(response: reqwest::Response) -> Problem {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    problem
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

#[tokio::test]
async fn a_genuine_callback_reaches_the_handler() {
    let response = deliver(signed(&[SECRET], now(), &body()), body()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W 2");
}

#[tokio::test]
async fn a_body_beyond_axums_own_limit_is_read() {
    let mut large = body();
    large.extend(std::iter::repeat_n(b' ', 3 * 1024 * 1024));
    assert_eq!(deliver(signed(&[SECRET], now(), &large), large).await.status(), 200);
}

#[tokio::test]
async fn what_is_forged_stale_or_unsigned_is_401_with_one_wording() {
    let forged = refusal(deliver(signed(&[SECRET], now(), b"{}"), body()).await).await;
    let stale = refusal(deliver(signed(&[SECRET], now() - 1_000, &body()), body()).await).await;
    let unsigned = refusal(deliver(HeaderMap::new(), body()).await).await;
    assert_eq!((forged.status, forged.code.as_str()), (401, "signature_invalid"));
    assert!(forged == stale && stale == unsigned);
}

#[tokio::test]
async fn what_is_genuine_but_of_another_shape_is_400() {
    let refused = refusal(deliver(signed(&[SECRET], now(), b"{}"), b"{}".to_vec()).await).await;
    assert_eq!((refused.status, refused.code.as_str()), (400, "invalid_body"));
}

#[tokio::test]
async fn what_is_larger_than_8_mib_is_413() {
    let large = vec![b' '; 8 * 1024 * 1024 + 1];
    let refused = refusal(deliver(HeaderMap::new(), large).await).await;
    assert_eq!((refused.status, refused.code.as_str()), (413, "body_too_large"));
}
