//! The token endpoint and the key set.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use orchestrator_core::Error;
use orchestrator_core::access::Identity;
use orchestrator_types::{TokenRequest, TokenResponse};

use crate::api::Api;
use crate::extract::Raw;
use crate::oauth::{ClientProof, client_proof, invalid_client, read_form};
use crate::problem::Refusal;
use crate::tokens::{Assertion, Audience, Jwks, NewToken, Scopes};

/// Get a token
///
/// For a service identity, by `client_credentials`. The token lives an hour at most.
#[utoipa::path(
    post, path = "/oauth/token", tag = "tokens", operation_id = "get_token",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token", body = TokenResponse))
)]
pub(super) async fn token(
    State(api): State<Api>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<TokenResponse>, Refusal> {
    let form = read_form(&headers, body).await?;
    if form.grant_type != "client_credentials" {
        return Err(refused("unsupported_grant_type", "this endpoint knows `client_credentials`"));
    }
    let proof = client_proof(&headers, &form)?;
    let identity = proved(&api, &proof).await?;
    let scopes = granted(&identity, form.scope.as_deref())?;
    let ttl = api.limits().token_ttl;
    let new = NewToken {
        audience: Audience::Exec,
        subject: identity.name.to_string(),
        workspace: Some(identity.workspace),
        scopes,
        actor: None,
        generation: Some(identity.generation),
        ttl,
    };
    let access_token = api.tokens().issue(&new).map_err(|_| Refusal::internal())?;
    let scope = new.scopes.to_string();
    Ok(Json(TokenResponse { access_token, token_type: "Bearer".to_owned(), expires_in: ttl.as_secs(), scope }))
}

/// The identity that the proof proves, within the bound of failures.
async fn proved(api: &Api, proof: &ClientProof<'_>) -> Result<Identity, Refusal> {
    let client_id = proof.client_id();
    api.failures().begin(client_id).map_err(|wait| {
        api.metrics().refused("rate_limited");
        Refusal::too_many("this client failed to prove itself too often", wait).oauth()
    })?;
    let identity = match proof {
        ClientProof::Secret { client_secret, .. } => {
            api.engine().identities().authenticate(client_id, client_secret.expose()).await
        }
        ClientProof::Assertion(assertion) => signed(api, assertion).await,
    };
    match identity {
        Ok(Some(identity)) => {
            api.failures().succeeded(client_id);
            Ok(identity)
        }
        Ok(None) => {
            api.metrics().refused("invalid_client");
            Err(invalid_client())
        }
        Err(error) => {
            // The store's failure is not the client's.
            api.failures().succeeded(client_id);
            Err(error.into())
        }
    }
}

/// The identity whose key signed the assertion. Its audience is this endpoint's issuer.
async fn signed(api: &Api, assertion: &Assertion<'_>) -> Result<Option<Identity>, Error> {
    let Some((identity, key)) = api.engine().identities().public_key(assertion.client_id()).await? else {
        return Ok(None);
    };
    let now = api.tokens().now();
    let holds = api.assertions().verify(assertion, &key, &[api.tokens().issuer()], now).is_ok();
    Ok(holds.then_some(identity))
}

/// The scopes asked for, if the identity has them; all of its own if none are.
fn granted(identity: &Identity, asked: Option<&str>) -> Result<Scopes, Refusal> {
    let own = Scopes::new(identity.scopes.iter().cloned());
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(own) };
    Scopes::parse(asked)
        .filter(|asked| asked.iter().all(|scope| own.contains(scope)))
        .ok_or_else(|| refused("invalid_scope", "the identity does not have every scope that is asked for"))
}

fn refused(code: &'static str, detail: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, detail).oauth()
}

/// Read the key set
///
/// The install's public keys: the one that signs, and those whose tokens still live.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "tokens", operation_id = "get_keys",
    responses((status = 200, description = "The keys", body = Jwks))
)]
pub(super) async fn keys(State(api): State<Api>) -> Json<Jwks> {
    Json(api.tokens().jwks())
}
