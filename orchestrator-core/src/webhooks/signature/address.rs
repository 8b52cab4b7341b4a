//! Whose a sample event is to be, and which.

use orchestrator_types::Timestamp;
use serde_json::Value;

/// What a sample event is to say of itself.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// Its id.
    pub event_id: &'a str,
    /// Its type; the sample's own if absent.
    pub event_type: Option<&'a str>,
    /// The account that it names; none if absent.
    pub account: Option<&'a str>,
    /// When it is made.
    pub now: Timestamp,
    /// The route's settings.
    pub settings: Option<&'a Value>,
}

impl Address<'_> {
    /// Sets a field of an object, or removes it without a value.
    pub(super) fn put<T: Into<Value>>(&self, object: &mut Value, name: &str, value: Option<T>) {
        let Some(fields) = object.as_object_mut() else { return };
        match value {
            Some(value) => drop(fields.insert(name.to_owned(), value.into())),
            None => drop(fields.remove(name)),
        }
    }

    /// Sets a field of an object if there is a value, and leaves it otherwise.
    pub(super) fn replace(&self, object: &mut Value, name: &str, value: Option<&str>) {
        if value.is_some() {
            self.put(object, name, value);
        }
    }

    /// Sets what a JSON pointer points to, if the object that it would be in is there.
    pub(super) fn put_at(&self, value: &mut Value, pointer: &str, to: Option<&str>) {
        let Some((parent, name)) = pointer.rsplit_once('/') else { return };
        if let Some(parent) = value.pointer_mut(parent) {
            self.put(parent, &name.replace("~1", "/").replace("~0", "~"), to);
        }
    }
}
