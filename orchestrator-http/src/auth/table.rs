//! Who may do what: one table, a row for each route. What has no row is refused, and a test holds the table against the
//! OpenAPI document.

use http::Method;
use orchestrator_types::{Role, scope};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: the route has its own proof, or shows what everybody may see.
    Public,
    /// A token of the exec API with any of these scopes.
    Exec(&'static [&'static str]),
    /// A token of the control API, whoever its operator is.
    Control,
    /// The install's administrator, or an operator whose role in the workspace of the path allows this.
    Role(Need),
    /// The install's administrator.
    InstallAdmin,
}

/// What a role may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Looking.
    Read,
    /// Replaying dead letters and inbox entries.
    Replay,
    /// Changing config, secrets, routes, identities; purging.
    Change,
    /// Naming operators.
    Operators,
}

impl Need {
    /// As the OpenAPI document says it: "a role that may …".
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Replay => "replay",
            Self::Change => "change",
            Self::Operators => "name operators",
        }
    }

    /// Whether a role allows it. Emergency changes come with a grant, and without one `BreakGlass` changes nothing.
    #[must_use]
    pub const fn allowed_to(self, role: Role) -> bool {
        match self {
            Self::Read => true,
            Self::Replay => !matches!(role, Role::ReadOnly),
            Self::Change | Self::Operators => matches!(role, Role::Admin),
        }
    }
}

/// Which router a route is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The exec API, the ingress, tokens.
    Api,
    /// The control API.
    Control,
}

/// A row: a route and what it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its method.
    pub method: Method,
    /// Its path, as the router has it.
    pub path: &'static str,
    /// What it asks.
    pub requirement: Requirement,
    /// Where it is.
    pub face: Face,
}

const EXECUTE: &[&str] = &[scope::EXECUTE];
const JOBS_WRITE: &[&str] = &[scope::JOBS_WRITE];
const JOBS_READ: &[&str] = &[scope::JOBS_READ];
const PAYLOAD_READ: &[&str] = &[scope::EXECUTE, scope::JOBS_READ];
const PAYLOAD_WRITE: &[&str] = &[scope::EXECUTE, scope::JOBS_WRITE];
const EVENTS_READ: &[&str] = &[scope::EVENTS_READ, scope::JOBS_READ];
const ANY: &[&str] = &scope::EXEC;

const API: Face = Face::Api;
const CONTROL: Face = Face::Control;
const READ: Requirement = Requirement::Role(Need::Read);
const REPLAY: Requirement = Requirement::Role(Need::Replay);
const CHANGE: Requirement = Requirement::Role(Need::Change);
const OPERATORS: Requirement = Requirement::Role(Need::Operators);
const INSTALL: Requirement = Requirement::InstallAdmin;

macro_rules! table {
    ($($method:ident $path:literal $face:ident $requirement:expr;)+) => {
        &[$(Row { method: Method::$method, path: $path, requirement: $requirement, face: $face },)+]
    };
}

/// Every route that anybody may take.
pub static TABLE: &[Row] = table! {
    POST   "/oauth/token"                                API Requirement::Public;
    GET    "/.well-known/jwks.json"                      API Requirement::Public;
    POST   "/webhooks/{provider}"                        API Requirement::Public;
    POST   "/webhooks/{provider}/{route_key}"            API Requirement::Public;

    GET    "/schemas/bundle.json"                        API Requirement::Public;

    POST   "/execute"                                    API Requirement::Exec(EXECUTE);
    GET    "/executions/{id}"                            API Requirement::Exec(EXECUTE);
    GET    "/config"                                     API Requirement::Exec(ANY);
    POST   "/jobs"                                       API Requirement::Exec(JOBS_WRITE);
    POST   "/jobs/batch"                                 API Requirement::Exec(JOBS_WRITE);
    GET    "/jobs"                                       API Requirement::Exec(JOBS_READ);
    GET    "/jobs/{id}"                                  API Requirement::Exec(JOBS_READ);
    POST   "/jobs/{id}/cancel"                           API Requirement::Exec(JOBS_WRITE);
    GET    "/events"                                     API Requirement::Exec(EVENTS_READ);
    POST   "/payloads"                                   API Requirement::Exec(PAYLOAD_WRITE);
    GET    "/payloads/{id}"                              API Requirement::Exec(PAYLOAD_READ);

    GET    "/connector-kinds"                            CONTROL Requirement::Control;
    GET    "/audit"                                      CONTROL INSTALL;
    GET    "/audit/verify"                               CONTROL INSTALL;
    GET    "/secrets/keys"                               CONTROL INSTALL;
    POST   "/secrets/rotate-kek"                         CONTROL INSTALL;
    GET    "/workspaces"                                 CONTROL Requirement::Control;
    POST   "/workspaces"                                 CONTROL INSTALL;
    GET    "/workspaces/{ws}"                            CONTROL READ;
    DELETE "/workspaces/{ws}"                            CONTROL INSTALL;
    POST   "/workspaces/{ws}/suspend"                    CONTROL INSTALL;
    POST   "/workspaces/{ws}/resume"                     CONTROL INSTALL;
    GET    "/workspaces/{ws}/config"                     CONTROL READ;
    GET    "/workspaces/{ws}/configs"                    CONTROL READ;
    POST   "/workspaces/{ws}/configs"                    CONTROL CHANGE;
    GET    "/workspaces/{ws}/configs/{version}"          CONTROL READ;
    GET    "/workspaces/{ws}/configs/{from}/diff/{to}"   CONTROL READ;
    PUT    "/workspaces/{ws}/config-pointer"             CONTROL CHANGE;
    POST   "/workspaces/{ws}/rollback"                   CONTROL CHANGE;
    PUT    "/workspaces/{ws}/policies/{name}"            CONTROL CHANGE;
    DELETE "/workspaces/{ws}/policies/{name}"            CONTROL CHANGE;
    PUT    "/workspaces/{ws}/connectors/{name}"          CONTROL CHANGE;
    DELETE "/workspaces/{ws}/connectors/{name}"          CONTROL CHANGE;
    POST   "/workspaces/{ws}/connectors/{name}/check"    CONTROL REPLAY;
    GET    "/workspaces/{ws}/connectors/{name}/operations" CONTROL READ;
    PUT    "/workspaces/{ws}/secret-refs/{name}"         CONTROL CHANGE;
    DELETE "/workspaces/{ws}/secret-refs/{name}"         CONTROL CHANGE;
    PUT    "/workspaces/{ws}/callbacks/{name}"           CONTROL CHANGE;
    DELETE "/workspaces/{ws}/callbacks/{name}"           CONTROL CHANGE;
    PUT    "/workspaces/{ws}/webhook-routes/{name}"      CONTROL CHANGE;
    DELETE "/workspaces/{ws}/webhook-routes/{name}"      CONTROL CHANGE;
    GET    "/workspaces/{ws}/bundle"                     CONTROL READ;
    PUT    "/workspaces/{ws}/bundle"                     CONTROL CHANGE;
    GET    "/workspaces/{ws}/secrets"                    CONTROL READ;
    PUT    "/workspaces/{ws}/secrets/{name}"             CONTROL CHANGE;
    POST   "/workspaces/{ws}/secrets/{name}/rotate"      CONTROL CHANGE;
    GET    "/workspaces/{ws}/operators"                  CONTROL READ;
    GET    "/workspaces/{ws}/operators/{sub}"            CONTROL READ;
    PUT    "/workspaces/{ws}/operators/{sub}"            CONTROL OPERATORS;
    DELETE "/workspaces/{ws}/operators/{sub}"            CONTROL OPERATORS;
    GET    "/workspaces/{ws}/identities"                 CONTROL READ;
    POST   "/workspaces/{ws}/identities"                 CONTROL CHANGE;
    DELETE "/workspaces/{ws}/identities/{name}"          CONTROL CHANGE;
    GET    "/workspaces/{ws}/dlq"                        CONTROL READ;
    POST   "/workspaces/{ws}/dlq/replay"                 CONTROL REPLAY;
    POST   "/workspaces/{ws}/dlq/purge"                  CONTROL CHANGE;
    GET    "/workspaces/{ws}/audit"                      CONTROL READ;
    GET    "/workspaces/{ws}/audit/verify"               CONTROL READ;
    GET    "/workspaces/{ws}/requests"                   CONTROL READ;
    GET    "/workspaces/{ws}/inbox"                      CONTROL READ;
    GET    "/workspaces/{ws}/inbox/{id}"                 CONTROL READ;
    POST   "/workspaces/{ws}/inbox/{id}/replay"          CONTROL REPLAY;
};

/// What a route asks; `None` if it has no row.
#[must_use]
pub fn requirement(method: &Method, path: &str) -> Option<Requirement> {
    // Who may look may also ask whether there is something to look at.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    TABLE.iter().find(|row| row.method == *method && row.path == path).map(|row| row.requirement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv_27_the_matrix_of_roles_is_as_the_contract_has_it() {
        let roles = [Role::ReadOnly, Role::Support, Role::Admin, Role::BreakGlass];
        for (need, allowed) in [
            (Need::Read, [true, true, true, true]),
            (Need::Replay, [false, true, true, true]),
            (Need::Change, [false, false, true, false]),
            (Need::Operators, [false, false, true, false]),
        ] {
            assert_eq!(roles.map(|role| need.allowed_to(role)), allowed, "{need:?}");
        }
    }

    #[test]
    fn inv_27_what_has_no_row_is_refused_and_no_route_has_two() {
        assert_eq!(requirement(&Method::PATCH, "/execute"), None);
        assert_eq!(requirement(&Method::GET, "/execute"), None);
        assert_eq!(requirement(&Method::POST, "/execute/"), None);
        for (index, row) in TABLE.iter().enumerate() {
            assert!(
                !TABLE[..index].iter().any(|other| other.method == row.method && other.path == row.path),
                "{row:?}"
            );
            let of_a_workspace = row.path.starts_with("/workspaces/{ws}");
            assert!(of_a_workspace || !matches!(row.requirement, Requirement::Role(_)), "{row:?} has no workspace");
        }
    }
}
