//! Whether a config can work: every problem at once, with its pointer, before anything is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestrator_types::{BreakerHold, FieldError, Name, WorkspaceConfig, WorkspaceId};
use url::Url;

use super::clear_text::in_clear;
use super::document::routes_of;
use super::live::slots;
use crate::connector::ConnectorRegistry;
use crate::policy;
use crate::secrets::SecretResolver;
use crate::store::RouteKey;
use crate::webhooks::signature::provider;

const MAX_BYTES: usize = 1024 * 1024;
const MAX_EACH: usize = 1_000;
/// The secret of each default route is tried on an event that names nobody.
const DEFAULTS_EACH: usize = 8;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Why it cannot work.
    pub(crate) errors: Vec<FieldError>,
    /// What works and is likely to hurt.
    pub(crate) warnings: Vec<FieldError>,
}

impl Checked {
    fn error(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, detail));
    }

    /// A breaker can only be held where there is one.
    fn holdable(&mut self, config: &WorkspaceConfig, policy: &Name, hold: Option<BreakerHold>, pointer: &str) {
        let without = config.policies.get(policy).is_some_and(|policy| policy.breaker.is_none());
        if hold.is_some() && without {
            self.error(format!("{pointer}/breaker_hold"), format!("the policy `{policy}` has no breaker to be held"));
        }
    }

    fn named<T>(&mut self, map: &BTreeMap<Name, T>, name: &Name, pointer: String, what: &str) {
        if !map.contains_key(name) {
            self.error(pointer, format!("there is no {what} `{name}` in this config"));
        }
    }
}

/// Checks a config of `workspace`.
pub(crate) fn validate(
    workspace: &WorkspaceId,
    config: &WorkspaceConfig,
    kinds: &ConnectorRegistry,
    secrets: &Arc<SecretResolver>,
) -> Checked {
    let mut checked = Checked::default();
    sizes(config, &mut checked);
    policies(config, &mut checked);
    connectors(workspace, config, kinds, secrets, &mut checked);
    for (name, reference) in &config.secret_refs {
        if let Err(problem) = secrets.check(workspace, reference) {
            checked.error(format!("/secret_refs/{name}"), problem);
        }
    }
    callbacks(config, &mut checked);
    routes(config, &mut checked);
    for (name, document) in &config.settings {
        checked.errors.extend(in_clear(document, &format!("/settings/{}", escape(name))));
    }
    if !(0.0..=1.0).contains(&config.logging.sample_success) {
        checked.error("/logging/sample_success", "a share between 0 and 1");
    }
    checked
}

fn sizes(config: &WorkspaceConfig, checked: &mut Checked) {
    match serde_json::to_vec(config) {
        Ok(text) if text.len() > MAX_BYTES => checked.error("", "a config has at most 1 MiB"),
        Ok(_) => {}
        Err(error) => checked.error("", error.to_string()),
    }
    let counts = [
        ("policies", config.policies.len()),
        ("connectors", config.connectors.len()),
        ("secret_refs", config.secret_refs.len()),
        ("callbacks", config.callbacks.len()),
        ("webhook_routes", config.webhook_routes.len()),
        ("settings", config.settings.len()),
    ];
    for (name, _) in counts.into_iter().filter(|(_, count)| *count > MAX_EACH) {
        checked.error(format!("/{name}"), format!("at most {MAX_EACH}"));
    }
    let days = &config.retention;
    let retained =
        [("requests_days", days.requests_days), ("events_days", days.events_days), ("inbox_days", days.inbox_days)];
    for (name, _) in retained.into_iter().filter(|(_, days)| *days > 3_650) {
        checked.error(format!("/retention/{name}"), "at most 3,650 days");
    }
    if config.payloads.inline_max_bytes > 8 * 1024 * 1024 {
        checked.error("/payloads/inline_max_bytes", "at most 8,388,608 bytes are kept inline");
    }
}

fn policies(config: &WorkspaceConfig, checked: &mut Checked) {
    for (name, policy) in &config.policies {
        let under = |error: FieldError| FieldError::new(format!("/policies/{name}{}", error.pointer), error.detail);
        checked.errors.extend(policy::validate(policy).into_iter().map(under));
        checked.warnings.extend(policy::warnings(policy).into_iter().map(under));
    }
}

fn connectors(
    workspace: &WorkspaceId,
    config: &WorkspaceConfig,
    kinds: &ConnectorRegistry,
    secrets: &Arc<SecretResolver>,
    checked: &mut Checked,
) {
    for (name, connector) in &config.connectors {
        let pointer = format!("/connectors/{name}");
        checked.named(&config.policies, &connector.policy, format!("{pointer}/policy"), "policy");
        checked.holdable(config, &connector.policy, connector.breaker_hold, &pointer);
        let Some(kind) = kinds.describe(&connector.kind) else {
            checked.error(format!("{pointer}/kind"), "this server has no such kind: see GET /connector-kinds");
            continue;
        };
        let slots = slots(workspace, config, secrets, connector);
        for problem in kinds.check(&connector.kind, &connector.settings, slots).unwrap_or_default() {
            checked.error(format!("{pointer}/settings{}", problem.pointer), problem.detail);
        }
        checked.errors.extend(in_clear(&connector.settings, &format!("{pointer}/settings")));
        for (slot, reference) in &connector.secrets {
            let at = format!("{pointer}/secrets/{slot}");
            if kind.secret_slots.contains(slot) {
                checked.named(&config.secret_refs, reference, at, "secret reference");
            } else {
                checked.error(at, format!("the kind `{}` has no such secret slot", connector.kind));
            }
        }
    }
}

fn callbacks(config: &WorkspaceConfig, checked: &mut Checked) {
    for (name, callback) in &config.callbacks {
        let pointer = format!("/callbacks/{name}");
        match Url::parse(&callback.url) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                checked.error(format!("{pointer}/url"), "an http or https URL");
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                checked.error(format!("{pointer}/url"), "no user or password in the URL: callbacks are signed");
            }
            Ok(_) => {}
            Err(error) => checked.error(format!("{pointer}/url"), format!("not a URL: {error}")),
        }
        checked.named(&config.policies, &callback.policy, format!("{pointer}/policy"), "policy");
        checked.holdable(config, &callback.policy, callback.breaker_hold, &pointer);
        checked.named(
            &config.secret_refs,
            &callback.signing_secret,
            format!("{pointer}/signing_secret"),
            "secret reference",
        );
    }
}

fn routes(config: &WorkspaceConfig, checked: &mut Checked) {
    for (name, route) in &config.webhook_routes {
        let pointer = format!("/webhook_routes/{name}");
        match provider(route.provider.as_str()) {
            Some(provider) => {
                for problem in provider.check_settings(route.settings.as_ref()) {
                    checked.error(format!("{pointer}/settings{}", problem.pointer), problem.detail);
                }
            }
            None => checked.error(format!("{pointer}/provider"), "this server has no such provider"),
        }
        if route.provider.as_str() == "hmac" && route.account.is_some() {
            let detail = "where the account stands is a setting of each route, so none is found by it: use `route_key`";
            checked.error(format!("{pointer}/account"), detail);
        }
        let ways = [route.account.is_some(), route.route_key.is_some(), route.default];
        if ways.into_iter().filter(|named| *named).count() != 1 {
            checked.error(&pointer, "a route names just one of `account`, `route_key` and `default`");
        }
        if route.account.as_ref().is_some_and(|account| account.is_empty() || account.len() > 255) {
            checked.error(format!("{pointer}/account"), "1 to 255 characters");
        }
        let at = |field: &str| format!("{pointer}/{field}");
        checked.named(&config.secret_refs, &route.signing_secret, at("signing_secret"), "secret reference");
        if let Some(connector) = &route.connector {
            checked.named(&config.connectors, connector, at("connector"), "connector");
        }
        if let Some(callback) = &route.callback {
            checked.named(&config.callbacks, callback, at("callback"), "callback");
        }
    }
    let mut defaults: BTreeMap<&Name, usize> = BTreeMap::new();
    for (name, route) in config.webhook_routes.iter().filter(|(_, route)| route.default) {
        let count = defaults.entry(&route.provider).or_default();
        *count += 1;
        if *count > DEFAULTS_EACH {
            let detail = format!("at most {DEFAULTS_EACH} default routes of one provider: name a `route_key`");
            checked.error(format!("/webhook_routes/{name}/default"), detail);
        }
    }
    let mut seen = BTreeMap::new();
    for route in routes_of(config).into_iter().filter(|route| route.key != RouteKey::Default) {
        if let Some(other) = seen.insert((route.provider, route.key), route.name.clone()) {
            checked.error(format!("/webhook_routes/{}", route.name), format!("takes the same events as `{other}`"));
        }
    }
}

pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
