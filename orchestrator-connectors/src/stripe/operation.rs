//! What an operation is: where it goes, and what it takes.

use http::Method;
use orchestrator_core::connector::{Idempotency, OperationDescription};
use serde_json::{Map, Value, json};

/// The three verbs of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }

    pub(super) fn idempotency(self) -> Idempotency {
        match self {
            Self::Post => Idempotency::ByKey,
            Self::Get | Self::Delete => Idempotency::Always,
        }
    }
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Whole,
    Flag,
    List,
    Map,
    /// A time, in seconds since 1970, or bounds of one.
    Time,
}

/// A parameter that is checked. What else is given is passed on: the API has more, and other ones in each version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

impl Field {
    pub(super) const fn of(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: false }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn schema(self) -> Value {
        match self.shape {
            // Whoever unsets a field gives null.
            Shape::Text => json!({"type": ["string", "null"]}),
            Shape::Whole => json!({"type": ["integer", "null"]}),
            Shape::Flag => json!({"type": ["boolean", "null"]}),
            Shape::List => json!({"type": ["array", "null"]}),
            Shape::Map => json!({"type": ["object", "null"]}),
            Shape::Time => json!({"type": ["integer", "object", "string", "null"]}),
        }
    }
}

/// An operation on one kind of object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    pub(super) verb: Verb,
    /// Below the base URL; `{id}` is the input's.
    pub(super) path: &'static str,
    pub(super) fields: &'static [Field],
    /// Whether it answers a page of a list.
    pub(super) lists: bool,
}

impl Operation {
    pub(super) fn has_id(&self) -> bool {
        self.path.contains("{id}")
    }

    /// JSON Schema of its input.
    pub(super) fn input_schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        if self.has_id() {
            let id = json!({"type": "string", "pattern": "^[A-Za-z0-9_]{1,255}$", "description": "The object's id."});
            properties.insert("id".to_owned(), id);
            required.push("id");
        }
        let known: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
        let needed: Vec<&str> = self.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut params = json!({
            "type": "object", "properties": known,
            "description": "The API's own parameters; those that are not listed are passed on as they are.",
        });
        if !needed.is_empty() {
            params["required"] = json!(needed);
            required.push("params");
        }
        properties.insert("params".to_owned(), params);
        properties.extend(common_properties(self.verb, self.lists));
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    pub(super) fn describe(&self, output: &Value) -> OperationDescription {
        OperationDescription {
            name: self.name.to_owned(),
            description: self.does.to_owned(),
            idempotency: self.verb.idempotency(),
            input_schema: self.input_schema(),
            output_schema: output.clone(),
        }
    }
}

/// What each input may give beside its parameters.
pub(super) fn common_properties(verb: Verb, lists: bool) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut add = |name: &str, schema: Value| properties.insert(name.to_owned(), schema);
    add(
        "account",
        json!({
            "type": "string", "pattern": "^acct_[A-Za-z0-9]{1,250}$",
            "description": "The connected account that the call is made for.",
        }),
    );
    if verb == Verb::Post {
        add(
            "idempotency_key",
            json!({
                "type": "string", "pattern": "^[!-~]{1,255}$",
                "description": "The key under which the API does it once. The execution's or job's id if absent.",
            }),
        );
    }
    if lists {
        add(
            "max_pages",
            json!({
                "type": "integer", "minimum": 1, "maximum": crate::http::paging::MOST_PAGES,
                "description": "Reads so many pages at most, one after the other, into one list. One page if absent.",
            }),
        );
    }
    properties
}
