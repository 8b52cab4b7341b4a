//! From what is written to what can work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use orchestrator_core::types::WorkspaceId;
use orchestrator_core::worker::WorkerOptions;
use orchestrator_http::tokens::{Audience, IssuerConfig, IssuerKeys};
use orchestrator_http::{ApiLimits, EdgeLimits};

use super::document::{Document, Issuer};
use super::error::SettingError;
use super::sources::Layered;
use super::vault::vault;
use super::{DATA_DIR, Listen, LogFormat, SecretSettings, Settings, kek_in, payloads, queue, store};

const LONGEST_DRAIN: u64 = 3600;
const LONGEST_LEASE: u64 = 3600;
const HEAVIEST: u32 = 1_000;
const LARGEST_BODY: u64 = 64 << 20;
const LARGEST_HEAD: u64 = 1 << 20;
const MOST: u64 = 1_000_000;

pub(super) type Checked<T> = Result<T, SettingError>;

pub(super) fn settings(layered: &Layered) -> Checked<Settings> {
    let document = &layered.document;
    absent(layered)?;
    let data_dir = path(layered, "data_dir", document.data_dir.as_deref())?.unwrap_or_else(|| DATA_DIR.into());
    let defaults = Settings::of(&data_dir);
    let environment = match &document.environment {
        Some(name) => name.parse().map_err(|error| layered.unusable("environment", format!("{error}")))?,
        None => defaults.environment,
    };
    let drain =
        within(layered, "drain_s", document.drain_s, 1, LONGEST_DRAIN)?.map_or(defaults.drain, Duration::from_secs);
    let (api_limits, edge_limits) = limits(layered, drain)?;
    Ok(Settings {
        roles: defaults.roles,
        queue: queue::check(layered, &environment)?,
        environment,
        store: store::check(layered, &data_dir)?,
        payloads: payloads::check(layered, &data_dir)?,
        listen: listen(layered, defaults.listen)?,
        issuers: issuers(layered)?,
        secrets: secrets(layered, &data_dir)?,
        egress_allow: egress(layered)?,
        log: log(layered)?,
        workers: workers(layered, drain)?,
        api_limits,
        edge_limits,
        drain,
        data_dir,
    })
}

/// What the contract names and this build does not have.
fn absent(layered: &Layered) -> Checked<()> {
    let Document { listen, telemetry, .. } = &layered.document;
    for (setting, given, what) in [
        ("listen.break_glass", listen.break_glass.is_some(), "no break-glass listener"),
        ("telemetry.otlp_url", telemetry.otlp_url.is_some(), "no OTLP export"),
    ] {
        if given {
            return Err(layered.unusable(setting, format!("this build has {what} yet")));
        }
    }
    Ok(())
}

fn listen(layered: &Layered, defaults: Listen) -> Checked<Listen> {
    let given = &layered.document.listen;
    let address = |setting: &str, text: &Option<String>| -> Checked<Option<SocketAddr>> {
        let wrong = || layered.unusable(setting, "<address>:<port> is expected, as 127.0.0.1:8080 or [::]:8080");
        text.as_deref().map(|text| text.parse().map_err(|_| wrong())).transpose()
    };
    let listen = Listen {
        api: address("listen.api", &given.api)?.unwrap_or(defaults.api),
        ops: address("listen.ops", &given.ops)?.unwrap_or(defaults.ops),
        control: address("listen.control", &given.control)?,
    };
    let taken = |one: SocketAddr, other: SocketAddr| one == other && one.port() != 0;
    if taken(listen.ops, listen.api) {
        return Err(layered.unusable("listen.ops", "it is the address of `listen.api`"));
    }
    if listen.control.is_some_and(|control| taken(control, listen.api) || taken(control, listen.ops)) {
        return Err(layered.unusable(
            "listen.control",
            "it is the address of another listener: leave it out to serve the control API on `listen.api`",
        ));
    }
    Ok(listen)
}

fn issuers(layered: &Layered) -> Checked<Vec<IssuerConfig>> {
    let issuers = layered.document.auth.issuers.iter().enumerate();
    issuers.map(|(index, issuer)| one_issuer(layered, &format!("auth.issuers[{index}]"), issuer)).collect()
}

fn one_issuer(layered: &Layered, at: &str, given: &Issuer) -> Checked<IssuerConfig> {
    let unusable = |field: &str, problem: &str| layered.unusable(format!("{at}.{field}"), problem);
    if given.issuer.is_empty() {
        return Err(unusable("issuer", "the exact `iss` of its tokens is expected"));
    }
    let audiences: Result<Vec<Audience>, String> = given.audience.0.iter().map(|name| name.parse()).collect();
    let audiences = audiences.map_err(|problem| unusable("audience", &problem))?;
    if audiences.is_empty() {
        return Err(unusable("audience", "name the APIs that it may issue tokens for"));
    }
    let keys = match (&given.jwks_file, &given.jwks_url) {
        (Some(file), None) if !file.is_empty() => IssuerKeys::File(file.into()),
        (None, Some(url)) => match url.parse::<http::Uri>() {
            Ok(url) if matches!(url.scheme_str(), Some("https" | "http")) && url.host().is_some() => {
                IssuerKeys::Url(url)
            }
            _ => return Err(unusable("jwks_url", "a URL with https:// or http:// is expected")),
        },
        _ => return Err(unusable("jwks_file", "either `jwks_file` or `jwks_url` is expected")),
    };
    Ok(IssuerConfig { issuer: given.issuer.clone(), audiences, keys })
}

fn secrets(layered: &Layered, data_dir: &Path) -> Checked<SecretSettings> {
    let given = &layered.document.secrets;
    let older = &given.older_kek_files.0;
    if older.iter().any(String::is_empty) {
        return Err(layered.unusable("secrets.older_kek_files", "a path is expected"));
    }
    let dir = path(layered, "secrets.dir", given.dir.as_deref())?.or_else(|| layered.credentials_dir.clone());
    if dir.as_deref().is_some_and(|dir| !dir.is_dir()) {
        return Err(layered.unusable("secrets.dir", "there is no such folder"));
    }
    Ok(SecretSettings {
        kek_file: path(layered, "secrets.kek_file", given.kek_file.as_deref())?.unwrap_or_else(|| kek_in(data_dir)),
        older_kek_files: older.iter().map(PathBuf::from).collect(),
        dir,
        vault: vault(layered)?,
    })
}

fn egress(layered: &Layered) -> Checked<Vec<IpNet>> {
    let wrong = || layered.unusable("egress.allow", "address ranges are expected, as 10.0.0.0/8 or fd00::/8");
    layered.document.egress.allow.0.iter().map(|range| range.parse().map_err(|_| wrong())).collect()
}

fn log(layered: &Layered) -> Checked<LogFormat> {
    match layered.document.telemetry.log.as_deref() {
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(_) => Err(layered.unusable("telemetry.log", "`json` or `text` is expected")),
    }
}

fn workers(layered: &Layered, drain: Duration) -> Checked<WorkerOptions> {
    let (given, defaults) = (&layered.document.workers, WorkerOptions::default());
    let slots = count(layered, "workers.slots", given.slots, defaults.slots)?;
    let per_workspace =
        count(layered, "workers.per_workspace", given.per_workspace, defaults.per_workspace.min(slots))?;
    if per_workspace > slots {
        return Err(layered.unusable("workers.per_workspace", "it is more than `workers.slots`"));
    }
    let lease = within(layered, "workers.lease_s", given.lease_s, 3, LONGEST_LEASE)?;
    Ok(WorkerOptions {
        slots,
        per_workspace,
        lease: lease.map_or(defaults.lease, Duration::from_secs),
        drain,
        weights: Arc::new(weights(layered)?),
    })
}

/// How many jobs a workspace gives at its turn.
fn weights(layered: &Layered) -> Checked<BTreeMap<WorkspaceId, u32>> {
    let weight = |(name, weight): (&String, &u64)| {
        let setting = || format!("workers.weights.{name}");
        let workspace = name.parse().map_err(|_| layered.unusable("workers.weights", "it names no workspace"))?;
        let weight = u32::try_from(*weight).ok().filter(|weight| (1..=HEAVIEST).contains(weight));
        let weight = weight.ok_or_else(|| layered.unusable(setting(), format!("it is not from 1 to {HEAVIEST}")))?;
        Ok((workspace, weight))
    };
    layered.document.workers.weights.iter().map(weight).collect()
}

fn limits(layered: &Layered, drain: Duration) -> Checked<(ApiLimits, EdgeLimits)> {
    let given = &layered.document.limits;
    let (api, edge) = (ApiLimits::default(), EdgeLimits::default());
    let bytes = |setting: &str, value, most, default| -> Checked<usize> {
        let value = within(layered, setting, value, 1024, most)?;
        Ok(value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX)))
    };
    let api = ApiLimits {
        body_bytes: bytes("limits.body_bytes", given.body_bytes, LARGEST_BODY, api.body_bytes)?,
        ingress_bytes: bytes("limits.ingress_bytes", given.ingress_bytes, LARGEST_BODY, api.ingress_bytes)?,
        batch_bytes: bytes("limits.batch_bytes", given.batch_bytes, LARGEST_BODY, api.batch_bytes)?,
        waiting_per_workspace: count(
            layered,
            "limits.waiting_per_workspace",
            given.waiting_per_workspace,
            api.waiting_per_workspace,
        )?,
        ..api
    };
    let connections = count(layered, "limits.connections", given.connections, edge.connections)?;
    let setting = "limits.connections_per_address";
    let per_address =
        count(layered, setting, given.connections_per_address, edge.connections_per_address.min(connections))?;
    if per_address > connections {
        return Err(layered.unusable(setting, "it is more than `limits.connections`"));
    }
    let edge = EdgeLimits {
        header_bytes: bytes("limits.header_bytes", given.header_bytes, LARGEST_HEAD, edge.header_bytes)?,
        connections,
        connections_per_address: per_address,
        drain,
        ..edge
    };
    Ok((api, edge))
}

pub(super) fn path(layered: &Layered, setting: &str, text: Option<&str>) -> Checked<Option<PathBuf>> {
    match text {
        Some("") => Err(layered.unusable(setting, "a path is expected")),
        other => Ok(other.map(PathBuf::from)),
    }
}

fn count(layered: &Layered, setting: &str, value: Option<u64>, default: usize) -> Checked<usize> {
    let value = within(layered, setting, value, 1, MOST)?;
    Ok(value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX)))
}

pub(super) fn within(
    layered: &Layered,
    setting: &str,
    value: Option<u64>,
    least: u64,
    most: u64,
) -> Checked<Option<u64>> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(layered.unusable(setting, format!("{least} to {most} is expected")))
        }
        other => Ok(other),
    }
}
