//! The document, as the tests ask it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(orchestrator_http::openapi()).unwrap());

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) id: String,
    spec: Value,
}

/// Every operation of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, spec) in item.as_object().unwrap() {
            let id = spec["operationId"].as_str().unwrap().to_owned();
            all.push(Operation { method: method.to_uppercase(), path: path.clone(), id, spec: spec.clone() });
        }
    }
    all
}

impl Operation {
    /// Whether `path` is one of this operation's.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let (ours, theirs) = (self.path.split('/'), path.split('/'));
        self.path.split('/').count() == path.split('/').count()
            && ours.zip(theirs).all(|(ours, theirs)| ours.starts_with('{') && !theirs.is_empty() || ours == theirs)
    }

    /// The names of its parameters in the `query` or `header`, those in lower case.
    pub(crate) fn parameters(&self, place: &str) -> BTreeSet<String> {
        let all = self.spec["parameters"].as_array().into_iter().flatten();
        let named =
            all.filter(|parameter| parameter["in"] == place).map(|parameter| parameter["name"].as_str().unwrap());
        named.map(|name| if place == "header" { name.to_lowercase() } else { name.to_owned() }).collect()
    }

    /// The tag that it stands under.
    pub(crate) fn tag(&self) -> &str {
        self.spec["tags"][0].as_str().unwrap()
    }

    /// The media types of its body.
    pub(crate) fn body_types(&self) -> BTreeSet<String> {
        let content = self.spec["requestBody"]["content"].as_object();
        content.into_iter().flatten().map(|(kind, _)| kind.clone()).collect()
    }

    /// What a JSON body of a request has to be.
    pub(crate) fn body(&self) -> Option<Validator> {
        validator(&self.spec["requestBody"]["content"]["application/json"]["schema"])
    }

    /// What an answer of this status and type has to be. Problems are told once for all statuses.
    pub(crate) fn answer(&self, status: u16, content_type: &str) -> Option<Validator> {
        let responses = &self.spec["responses"];
        let response =
            responses.get(status.to_string()).or_else(|| responses.get("default").filter(|_| status >= 400))?;
        validator(&response["content"][content_type]["schema"])
    }

    /// Whether it says anything of answers with this status.
    pub(crate) fn tells_of(&self, status: u16) -> bool {
        self.spec["responses"].get(status.to_string()).is_some() || status >= 400
    }
}

fn validator(schema: &Value) -> Option<Validator> {
    let schema = json!({"allOf": [schema.as_object()?], "components": DOCUMENT["components"]});
    Some(jsonschema::validator_for(&schema).unwrap())
}

/// What is wrong with `value`.
pub(crate) fn problems(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|problem| format!("{}: {problem}", problem.instance_path())).collect()
}
