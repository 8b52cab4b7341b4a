//! Service identities: what a product calls as.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use orchestrator_types::{
    FieldError, IdentityCreated, IdentityRequest, IdentityView, ServiceName, Timestamp, WorkspaceId, scope,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::actor::Actor;
use crate::config::document::{decode, encode};
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, Owner, RecordKind, RecordWrite};

const SECRET_BYTES: usize = 32;
const MAX: usize = 1_000;

/// The service identities of workspaces.
#[derive(Clone, Copy)]
pub struct Identities<'a>(pub(crate) &'a Engine);

/// An identity that has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Its name: the subject of its tokens.
    pub name: ServiceName,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// Which making of the identity this is: a token of an earlier one is not of this.
    pub generation: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredIdentity {
    scopes: Vec<String>,
    /// SHA-256 of the client secret: it has 256 random bits, so nothing slower is needed.
    secret_hash: Option<String>,
    public_key: Option<Value>,
    created_at: Timestamp,
    /// Random, so that one that is made anew in the same instant is another.
    generation: i64,
}

impl Identities<'_> {
    /// Makes an identity. Its client secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// No such workspace, an unknown scope, the name is taken, or the store.
    pub async fn create(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        request: &IdentityRequest,
    ) -> Result<IdentityCreated, Error> {
        self.0.workspace(workspace).await?;
        check_scopes(&request.scopes)?;
        if self.0.store.records(&Owner::from(workspace), RecordKind::Identity, None, MAX).await?.len() >= MAX {
            return Err(Error::invalid("", format!("a workspace has at most {MAX} identities")));
        }
        if request.public_key.as_ref().is_some_and(|key| !key.is_object()) {
            return Err(Error::invalid("/public_key", "a JWK: an object"));
        }
        let client_secret = match request.public_key {
            None => Some(new_secret()?),
            Some(_) => None,
        };
        let stored = StoredIdentity {
            scopes: request.scopes.clone(),
            secret_hash: client_secret.as_deref().map(hash),
            public_key: request.public_key.clone(),
            created_at: self.0.clock.now(),
            // It stands in tokens: no more bits than a JSON number keeps.
            generation: fastrand::i64(1..1 << 53),
        };
        let mut change = ControlChange::of(Owner::from(workspace));
        let key = request.name.as_str();
        change.writes.push(RecordWrite::put(RecordKind::Identity, key, Expect::Absent, encode(&stored)?));
        let audit = actor.audit("identity.create", key);
        change.audit.push(audit.change(None, Some(json!({"scopes": stored.scopes}))));
        match self.0.store.commit(change).await {
            Ok(_) => Ok(IdentityCreated {
                name: request.name.clone(),
                scopes: stored.scopes,
                client_id: client_id(workspace, &request.name),
                client_secret,
            }),
            Err(CommitError::Conflict { .. }) => Err(Error::Exists { what: "identity" }),
            Err(error) => Err(self.0.commit_error(error)),
        }
    }

    /// Every identity of a workspace.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<IdentityView>, Error> {
        self.0.workspace(workspace).await?;
        let records = self.0.store.records(&Owner::from(workspace), RecordKind::Identity, None, MAX).await?;
        let mut identities = Vec::with_capacity(records.len());
        for record in records {
            let stored: StoredIdentity = decode(&record.body)?;
            let name: ServiceName = record.key.parse().map_err(|_| Error::Internal("an identity's name".to_owned()))?;
            let client_id = client_id(workspace, &name);
            identities.push(IdentityView { name, scopes: stored.scopes, client_id, created_at: stored.created_at });
        }
        Ok(identities)
    }

    /// Deletes an identity: its tokens are refused from now on.
    ///
    /// # Errors
    /// No such workspace or identity, or the store.
    pub async fn delete(&self, actor: &Actor, workspace: &WorkspaceId, name: &ServiceName) -> Result<(), Error> {
        self.0.workspace(workspace).await?;
        let owner = Owner::from(workspace);
        let record = self.0.store.record(&owner, RecordKind::Identity, name.as_str()).await?;
        let record = record.ok_or(Error::not_found("identity"))?;
        let mut change = ControlChange::of(owner);
        let expect = Expect::Version(record.version);
        change.writes.push(RecordWrite::delete(RecordKind::Identity, name.as_str(), expect));
        change.audit.push(actor.audit("identity.delete", name));
        match self.0.store.commit(change).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => Err(Error::Stale),
            Err(error) => Err(self.0.commit_error(error)),
        }
    }

    /// The identity that this id and secret prove; `None` whatever is wrong with them.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn authenticate(&self, client_id: &str, client_secret: &str) -> Result<Option<Identity>, Error> {
        let Some((workspace, name)) = parse_client_id(client_id) else { return Ok(None) };
        let record = self.0.store.record(&Owner::from(&workspace), RecordKind::Identity, name.as_str()).await?;
        let given = hash(client_secret);
        let stored: Option<StoredIdentity> = record.map(|record| decode(&record.body)).transpose()?;
        // The same work whether or not there is such an identity.
        let kept = stored.as_ref().and_then(|stored| stored.secret_hash.as_deref()).unwrap_or("");
        let proved = bool::from(kept.as_bytes().ct_eq(given.as_bytes()));
        let serves = self.0.workspace_exists(&workspace).await?;
        Ok(stored.filter(|_| proved && serves).map(|stored| Identity {
            workspace,
            name,
            scopes: stored.scopes,
            generation: stored.generation,
        }))
    }

    /// The identity of this id and its public key (JWK), if it proves itself by one; `None` whatever is wrong with the id.
    /// Nothing is proved yet: who asks verifies an assertion with the key.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn public_key(&self, client_id: &str) -> Result<Option<(Identity, Value)>, Error> {
        let Some((workspace, name)) = parse_client_id(client_id) else { return Ok(None) };
        let record = self.0.store.record(&Owner::from(&workspace), RecordKind::Identity, name.as_str()).await?;
        let stored: Option<StoredIdentity> = record.map(|record| decode(&record.body)).transpose()?;
        let serves = self.0.workspace_exists(&workspace).await?;
        Ok(stored.filter(|_| serves).and_then(|stored| {
            let (scopes, generation) = (stored.scopes, stored.generation);
            Some((Identity { workspace, name, scopes, generation }, stored.public_key?))
        }))
    }

    /// Whether a token of this making of the identity still holds. Read anew, so that a revocation holds at once.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_live(&self, workspace: &WorkspaceId, name: &str, generation: i64) -> Result<bool, Error> {
        let record = self.0.store.record(&Owner::from(workspace), RecordKind::Identity, name).await?;
        let stored: Option<StoredIdentity> = record.map(|record| decode(&record.body)).transpose()?;
        Ok(stored.is_some_and(|stored| stored.generation == generation))
    }
}

fn check_scopes(scopes: &[String]) -> Result<(), Error> {
    let unknown: Vec<FieldError> = scopes
        .iter()
        .enumerate()
        .filter(|(_, wanted)| !scope::EXEC.contains(&wanted.as_str()))
        .map(|(index, _)| FieldError::new(format!("/scopes/{index}"), format!("one of {}", scope::EXEC.join(", "))))
        .collect();
    if !unknown.is_empty() {
        return Err(Error::InvalidRequest(unknown));
    }
    if scopes.is_empty() {
        return Err(Error::invalid("/scopes", "at least one scope"));
    }
    Ok(())
}

/// `<workspace>.<name without svc:>`: a workspace's name has no dot.
fn client_id(workspace: &WorkspaceId, name: &ServiceName) -> String {
    format!("{workspace}.{}", name.as_str().trim_start_matches("svc:"))
}

fn parse_client_id(client_id: &str) -> Option<(WorkspaceId, ServiceName)> {
    let (workspace, name) = client_id.split_once('.')?;
    Some((workspace.parse().ok()?, format!("svc:{name}").parse().ok()?))
}

fn new_secret() -> Result<String, Error> {
    let mut bytes = [0u8; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Internal("the system has no random numbers".to_owned()))?;
    Ok(format!("orcs_{}", BASE64URL_NOPAD.encode(&bytes)))
}

fn hash(secret: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, secret.as_bytes()).as_ref())
}
