//! Single parts of a config: each change makes a new version with that one change, activated.

use orchestrator_types::{CallbackConfig, ConnectorConfig, Name, Policy, SecretRef, WebhookRouteConfig};
use serde::Serialize;

use super::change::ConfigChange;
use super::workspace::Workspace;
use crate::transport::Call;

/// A part of a config that has a name: [`Policy`], [`ConnectorConfig`], [`SecretRef`], [`CallbackConfig`] or [`WebhookRouteConfig`].
pub trait Resource: Serialize + sealed::Sealed {
    /// What the collection is called in paths.
    const COLLECTION: &'static str;
}

mod sealed {
    pub trait Sealed {
        /// What the operations are called in the OpenAPI document.
        const PUT: &'static str;
        const DELETE: &'static str;
    }
}

macro_rules! resources {
    ($($kind:ty = $collection:literal: $put:literal, $delete:literal);+ $(;)?) => {
        $(
            impl sealed::Sealed for $kind {
                const PUT: &'static str = $put;
                const DELETE: &'static str = $delete;
            }
            impl Resource for $kind {
                const COLLECTION: &'static str = $collection;
            }
        )+
    };
}

resources! {
    Policy = "policies": "put_policy", "delete_policy";
    ConnectorConfig = "connectors": "put_connector", "delete_connector";
    SecretRef = "secret-refs": "put_secret_ref", "delete_secret_ref";
    CallbackConfig = "callbacks": "put_callback", "delete_callback";
    WebhookRouteConfig = "webhook-routes": "put_webhook_route", "delete_webhook_route";
}

impl Workspace {
    /// Makes or replaces one part of the config; which kind of part, its type says.
    pub fn put<R: Resource>(&self, name: &Name, resource: &R) -> ConfigChange {
        ConfigChange::new(&self.client, Call::put(R::PUT, self.path([R::COLLECTION, name.as_str()])).json(resource))
    }

    /// Removes one part of the config: `remove::<Policy>(&name)`. Refused with 422 while another part names it.
    pub fn remove<R: Resource>(&self, name: &Name) -> ConfigChange {
        ConfigChange::new(&self.client, Call::delete(R::DELETE, self.path([R::COLLECTION, name.as_str()])))
    }
}
