//! The listeners: which are bound, and what each serves.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use orchestrator_http::edge::{Outermost, outermost};
use orchestrator_http::problem::Refusal;
use orchestrator_http::{Api, api_router, control_router, ops_router, router, serve};
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::Group;
use crate::roles::Roles;
use crate::settings::{Listen, Settings};

/// Where each API is; empty if this process does not serve it.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) api: String,
    pub(super) control: String,
    pub(super) ops: String,
}

/// Listeners that are bound and not served yet.
pub(super) struct Listeners {
    api: Option<(TcpListener, SocketAddr)>,
    control: Option<(TcpListener, SocketAddr)>,
    ops: (TcpListener, SocketAddr),
}

impl Listeners {
    pub(super) async fn bind(listen: &Listen, roles: Roles) -> anyhow::Result<Self> {
        let api = if roles.api || roles.ingress { Some(bind("api", listen.api).await?) } else { None };
        let control = match listen.control {
            Some(address) if roles.api => Some(bind("control", address).await?),
            _ => None,
        };
        Ok(Self { api, control, ops: bind("ops", listen.ops).await? })
    }

    /// The addresses that were bound.
    pub(super) fn bound(&self) -> Vec<SocketAddr> {
        let faces = [&self.api, &self.control].into_iter().flatten().map(|(_, address)| *address);
        faces.chain([self.ops.1]).collect()
    }

    /// Where each API is.
    pub(super) fn addresses(&self, roles: Roles) -> Addresses {
        let url = |bound: &Option<(TcpListener, SocketAddr)>| bound.as_ref().map(|(_, address)| url(*address));
        let api = url(&self.api).unwrap_or_default();
        let beside = if roles.api { api.clone() } else { String::new() };
        Addresses { control: url(&self.control).unwrap_or(beside), ops: self::url(self.ops.1), api }
    }

    /// Serves them: the APIs in `faces`, ops in `background`.
    pub(super) fn serve(self, api: &Api, settings: &Settings, faces: &Group, background: &Group) {
        let run = |group: &Group, listener, router| {
            group.tasks.spawn(serve(listener, router, settings.edge_limits.clone(), group.ending.clone()));
        };
        let apart = self.control.is_some();
        if let Some((listener, _)) = self.api {
            let whole = if apart { api_router(api) } else { router(api) };
            run(faces, listener, of_roles(whole, api, settings.roles));
        }
        if let Some((listener, _)) = self.control {
            run(faces, listener, control_router(api));
        }
        run(background, self.ops.0, ops_router(api));
    }
}

async fn bind(name: &str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let refused = || format!("`listen.{name}` cannot be bound to {address}");
    let listener = TcpListener::bind(address).await.with_context(refused)?;
    let bound = listener.local_addr().with_context(refused)?;
    Ok((listener, bound))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// What a process that lacks a role answers on that role's paths.
#[derive(Clone)]
struct Absent {
    roles: Roles,
    nothing: Router,
}

/// The part of the router that the process's roles serve.
fn of_roles(whole: Router, api: &Api, roles: Roles) -> Router {
    if roles.api && roles.ingress {
        return whole;
    }
    let nothing = Router::new().fallback(|| async { Refusal::not_found() });
    let nothing = outermost(nothing, Outermost { metrics: api.metrics().clone() });
    whole.layer(from_fn_with_state(Absent { roles, nothing }, by_role))
}

async fn by_role(State(absent): State<Absent>, request: Request, next: Next) -> Response {
    let ingress = request.uri().path().starts_with("/webhooks/");
    let served = if ingress { absent.roles.ingress } else { absent.roles.api };
    if served {
        return next.run(request).await;
    }
    match absent.nothing.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
