//! The one layer that decides whether a request may go on.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use orchestrator_core::{Actor, Error};
use orchestrator_types::{Role, TraceId, WorkspaceId, scope};

use super::caller::{ControlCaller, ExecCaller};
use super::table::{Need, Requirement, requirement};
use crate::api::Api;
use crate::edge::{RequestTrace, Tenant};
use crate::problem::Refusal;
use crate::tokens::{Audience, Claims};

/// The one service that may speak for operators.
const CONSOLE: &str = "svc:operator-console";

/// Holds the request against the row of its route; goes on with the caller in its extensions, or not at all.
pub(crate) async fn authorize(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let asked = route.and_then(|route| requirement(&parts.method, route.as_str()));
    let trace = parts.extensions.get::<RequestTrace>().map_or_else(TraceId::new, |trace| trace.0);
    let tenant = parts.extensions.get::<Tenant>().cloned().unwrap_or_default();
    let decided = match asked {
        Some(Requirement::Public) => Ok(()),
        Some(Requirement::Exec(scopes)) => match exec(&api, &parts.headers, scopes, trace).await {
            Ok(caller) => {
                tenant.is(&caller.workspace);
                parts.extensions.insert(caller);
                Ok(())
            }
            Err(refusal) => Err(refusal),
        },
        Some(asked) => {
            let named = workspace_of(&mut parts).await;
            match control(&api, &parts.headers, asked, named, &tenant, trace).await {
                Ok(caller) => {
                    parts.extensions.insert(caller);
                    Ok(())
                }
                Err(refusal) => Err(refusal),
            }
        }
        None => Err(Refusal::forbidden()),
    };
    if let Err(refusal) = decided {
        if matches!(refusal.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            api.metrics().refused(if refusal.status() == StatusCode::FORBIDDEN {
                "forbidden"
            } else {
                "unauthenticated"
            });
        }
        return Err(refusal);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// With `true` the install's administrator takes routes that another workspace holds.
const TAKE_ROUTES: &str = "take-routes";

async fn exec(api: &Api, headers: &HeaderMap, scopes: &[&str], trace_id: TraceId) -> Result<ExecCaller, Refusal> {
    let claims = verified(api, headers, Audience::Exec).await?;
    // Every token of the exec API has one; the authority refuses those that have none.
    let workspace = claims.workspace.clone().ok_or_else(Refusal::unauthenticated)?;
    if !scopes.iter().any(|scope| claims.scopes.contains(scope)) {
        return Err(Refusal::forbidden());
    }
    api.engine().check_served(&workspace).await?;
    Ok(ExecCaller { workspace, claims, trace_id })
}

async fn control(
    api: &Api,
    headers: &HeaderMap,
    asked: Requirement,
    named: Named,
    tenant: &Tenant,
    trace_id: TraceId,
) -> Result<ControlCaller, Refusal> {
    let claims = verified(api, headers, Audience::Control).await?;
    let admin = claims.scopes.contains(scope::ADMIN);
    if !admin && !claims.scopes.contains(scope::OPERATOR) {
        return Err(Refusal::forbidden());
    }
    if !admin && api.engine().environment().as_str() == "prod" && claims.actor.as_deref() != Some(CONSOLE) {
        let detail = "in this environment operators come through the console";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "impersonation_required", detail));
    }
    let workspace = match named {
        Named::None => None,
        Named::Crooked => return Err(no_workspace()),
        Named::Workspace(workspace) => Some(workspace),
    };
    if let Some(workspace) = &workspace {
        tenant.is(workspace);
    }
    let actor = Actor {
        subject: claims.subject.clone(),
        via: claims.actor.clone(),
        trace_id,
        install_admin: admin,
        takes_routes: headers.get(TAKE_ROUTES).is_some_and(|value| value == "true"),
    };
    if admin {
        return Ok(ControlCaller { actor, role: None });
    }
    let role = match &workspace {
        Some(workspace) => Some(role(api, &claims, workspace).await?),
        None => None,
    };
    let allowed = match asked {
        Requirement::Control => true,
        Requirement::Role(need) => role.is_some_and(|role| Need::allowed_to(need, role)),
        Requirement::InstallAdmin | Requirement::Public | Requirement::Exec(_) => false,
    };
    if allowed { Ok(ControlCaller { actor, role }) } else { Err(Refusal::forbidden()) }
}

/// The operator's role. Whoever has none in a workspace cannot tell it from one that does not exist.
async fn role(api: &Api, claims: &Claims, workspace: &WorkspaceId) -> Result<Role, Refusal> {
    if claims.workspace.as_ref().is_some_and(|only| only != workspace) {
        return Err(no_workspace());
    }
    api.engine().operators().role(workspace, &claims.subject).await?.ok_or_else(no_workspace)
}

fn no_workspace() -> Refusal {
    Error::not_found("workspace").into()
}

/// The claims of the one bearer token of a request.
async fn verified(api: &Api, headers: &HeaderMap, audience: Audience) -> Result<Arc<Claims>, Refusal> {
    let token = bearer(headers).ok_or_else(Refusal::unauthenticated)?;
    let claims = api.tokens().verify(token, audience).await?;
    if api.liveness().holds(api.engine(), &claims).await? { Ok(claims) } else { Err(Refusal::unauthenticated()) }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (one, more) = (all.next()?, all.next());
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    (more.is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token)
}

/// The workspace that a path names.
enum Named {
    None,
    Crooked,
    Workspace(WorkspaceId),
}

async fn workspace_of(parts: &mut http::request::Parts) -> Named {
    let Ok(named) = RawPathParams::from_request_parts(parts, &()).await else { return Named::Crooked };
    match named.iter().find(|(name, _)| *name == "ws") {
        None => Named::None,
        Some((_, text)) => text.parse().map_or(Named::Crooked, Named::Workspace),
    }
}
