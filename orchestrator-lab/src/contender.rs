//! The policies that are compared: built-in ones by name, others from documents.

use orchestrator_core::config::template;
use orchestrator_core::policy::{validate, warnings};
use orchestrator_types::{FieldError, Jitter, Policy, RetryPolicy, TimeoutPolicy};
use serde_json::Value;

use crate::error::Error;

/// The policies that are known by name: those of the templates, and what is written by hand where there is no policy.
pub const BUILT_IN_POLICIES: [&str; 3] = ["dev", "prod", "naive"];

/// A policy with the name that reports call it by.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// The policy.
    pub policy: Policy,
}

/// What there is to say about a policy of a document.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Examined {
    /// Its name; that of the document, if it holds one policy and nothing else.
    pub name: String,
    /// What cannot work.
    pub errors: Vec<FieldError>,
    /// What works, but is likely to do harm or nothing.
    pub warnings: Vec<FieldError>,
}

impl Contender {
    /// The built-in policy of this name: `dev` or `prod`, the default policies of those templates; or `naive`: three
    /// attempts in step, no budget to speak of, no breaker and no limits.
    pub fn built_in(name: &str) -> Option<Self> {
        let policy = match name {
            "naive" => naive(),
            "dev" | "prod" => template(name)?.policies.into_values().next()?,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), policy })
    }

    /// The policy in a document: a policy, a workspace's config, or a bundle; of the latter two the one that is `chosen`.
    /// `what` names the document.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the policy is none or cannot work, with pointers into the document;
    /// [`Error::UnknownPolicy`] and [`Error::WhichPolicy`] if the choice is no choice.
    pub fn from_document(document: &Value, chosen: Option<&str>, what: &str) -> Result<Self, Error> {
        let policies = policies(document, what)?;
        let names = || policies.iter().filter_map(|found| found.name.clone()).collect();
        let found = match chosen {
            Some(name) => policies
                .iter()
                .find(|found| found.name.as_deref() == Some(name))
                .ok_or_else(|| Error::UnknownPolicy { name: name.to_owned(), known: names() })?,
            None => match policies.as_slice() {
                [only] => only,
                [] => return Err(Error::Invalid { what: what.to_owned(), errors: vec![none()] }),
                _ => return Err(Error::WhichPolicy { known: names() }),
            },
        };
        let name = chosen.map_or_else(|| what.to_owned(), |name| format!("{what}#{name}"));
        let refused = |errors| Error::Invalid { what: name.clone(), errors };
        let policy = found.read().map_err(|error| refused(vec![error]))?;
        let errors = found.located(validate(&policy));
        if errors.is_empty() { Ok(Self { name, policy }) } else { Err(refused(errors)) }
    }

    /// Everything that is wrong or doubtful in the policies of a document. `what` names it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it holds none.
    pub fn examine(document: &Value, what: &str) -> Result<Vec<Examined>, Error> {
        let policies = policies(document, what)?;
        if policies.is_empty() {
            return Err(Error::Invalid { what: what.to_owned(), errors: vec![none()] });
        }
        let examined = policies.iter().map(|found| {
            let name = found.name.clone().unwrap_or_else(|| what.to_owned());
            let (errors, warned) = match found.read() {
                Ok(policy) => (found.located(validate(&policy)), found.located(warnings(&policy))),
                Err(error) => (vec![error], Vec::new()),
            };
            Examined { name, errors, warnings: warned }
        });
        Ok(examined.collect())
    }
}

/// What is written by hand: attempts and timeouts, and nothing that looks at the upstream.
fn naive() -> Policy {
    Policy {
        timeout: TimeoutPolicy { attempt_ms: 5_000, total_ms: 15_000 },
        retry: Some(RetryPolicy { budget_ratio: 1.0, jitter: Jitter::None, ..RetryPolicy::default() }),
        ..Policy::default()
    }
}

/// A policy in a document.
struct Found<'a> {
    name: Option<String>,
    at: String,
    value: &'a Value,
}

impl Found<'_> {
    fn read(&self) -> Result<Policy, FieldError> {
        serde_path_to_error::deserialize(self.value).map_err(|error| {
            let at = format!("{}{}", self.at, pointer(error.path()));
            FieldError::new(at, error.into_inner().to_string())
        })
    }

    fn located(&self, errors: Vec<FieldError>) -> Vec<FieldError> {
        errors.into_iter().map(|error| FieldError::new(format!("{}{}", self.at, error.pointer), error.detail)).collect()
    }
}

/// The policies of a document. Only they are read: the rest of a config is others' business.
fn policies<'a>(document: &'a Value, what: &str) -> Result<Vec<Found<'a>>, Error> {
    let refused = |pointer: &str, detail: &str| Error::Invalid {
        what: what.to_owned(),
        errors: vec![FieldError::new(pointer, detail)],
    };
    let Value::Object(fields) = document else { return Err(refused("", "a policy is an object")) };
    let (at, config) = match fields.get("config") {
        Some(Value::Object(config)) => ("/config", config),
        Some(_) => return Err(refused("/config", "a bundle's config is an object")),
        None => ("", fields),
    };
    let Some(policies) = config.get("policies") else {
        if !at.is_empty() {
            return Ok(Vec::new());
        }
        return Ok(vec![Found { name: None, at: String::new(), value: document }]);
    };
    let at = format!("{at}/policies");
    let Value::Object(policies) = policies else { return Err(refused(&at, "policies are an object, by name")) };
    let found = policies.iter().map(|(name, value)| {
        let at = format!("{at}/{}", escaped(name));
        Found { name: Some(name.clone()), at, value }
    });
    Ok(found.collect())
}

fn none() -> FieldError {
    FieldError::new("/policies", "there is no policy in it")
}

/// The JSON pointer of a place.
pub(crate) fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segment = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escaped(key)),
        // A variant is no step into the document.
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(segment).collect()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
