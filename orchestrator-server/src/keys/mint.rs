//! Tokens of the install's own, as whoever holds its keys makes them.

use std::time::Duration;

use anyhow::{Context, anyhow};
use orchestrator_http::tokens::{Audience, NewToken, Scopes, TokenAuthority};
use orchestrator_types::{WorkspaceId, scope};

/// A token; `scopes` is a list with spaces between.
pub(crate) fn mint(
    authority: &TokenAuthority,
    audience: &str,
    subject: &str,
    workspace: Option<&WorkspaceId>,
    scopes: &str,
    ttl: Duration,
) -> anyhow::Result<String> {
    let audience: Audience = audience.parse().map_err(|problem: String| anyhow!(problem))?;
    let scopes = Scopes::parse(scopes).context("scopes are names with one space between them")?;
    let known: &[&str] = match audience {
        Audience::Exec => &scope::EXEC,
        Audience::Control => &[scope::ADMIN, scope::OPERATOR],
    };
    if scopes.is_empty() || scopes.iter().any(|scope| !known.contains(&scope)) {
        return Err(anyhow!("the scopes of `{}` are: {}", audience.as_str(), known.join(", ")));
    }
    let new = NewToken {
        audience,
        subject: subject.to_owned(),
        workspace: workspace.cloned(),
        scopes,
        actor: None,
        generation: None,
        ttl,
    };
    Ok(authority.issue(&new)?)
}
