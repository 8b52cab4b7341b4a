//! Two products are onboarded by bundle; at the end: what the acceptance criteria ask.

use std::cell::RefCell;

use anyhow::ensure;
use orchestrator_types::{SecretHealth, WorkspaceRequest};

use super::super::report::{Evidence, Report};
use super::super::stage::{Stage, Tenant};
use super::Guest;

/// Onboards both; `None` if that did not work.
pub(super) async fn chapter<'a>(stage: &'a Stage, report: &mut Report) -> Option<(Guest<'a>, Guest<'a>)> {
    report.chapter("1  Onboard two products, without a line of code");
    let guests = RefCell::new(Vec::new());
    for tenant in [&stage.buildos, &stage.beauty] {
        let workspace = &tenant.workspace;
        report.step(&format!("{workspace}: the bundle is imported, after a dry run"), import(stage, tenant)).await;
        report.step(&format!("{workspace}: its secrets go into the encrypted store"), secrets(stage, tenant)).await;
        let identity = async {
            let client = stage.product_client(tenant).await?;
            let config = client.product_config().await?;
            guests.borrow_mut().push(Guest { tenant, client });
            Ok(vec![format!("a token by client credentials; GET /config answers version {}", config.version)])
        };
        report.step(&format!("{workspace}: its back end gets an identity of its own"), identity).await;
    }
    let wall = async {
        let request = WorkspaceRequest { name: "buildos-prod".parse()?, template: None };
        match stage.admin()?.create_workspace(&request).await {
            Err(error) if error.status().is_some_and(|status| status.as_u16() == 422) => Ok(vec![error.to_string()]),
            other => anyhow::bail!("a production workspace on a dev install: {other:?}"),
        }
    };
    report.step("buildos-prod is refused here: this install is dev", wall).await;
    let mut guests = guests.into_inner().into_iter();
    Some((guests.next()?, guests.next()?))
}

async fn import(stage: &Stage, tenant: &Tenant) -> anyhow::Result<Evidence> {
    let workspace = stage.admin()?.workspace(&tenant.workspace);
    let plan = workspace.import_bundle(&tenant.bundle, true).await?;
    ensure!(plan.created && plan.dry_run, "the dry run says {plan:?}");
    let done = workspace.import_bundle(&tenant.bundle, false).await?;
    ensure!(done.created && done.version == 1, "the import says {done:?}");
    let again = workspace.import_bundle(&tenant.bundle, false).await?;
    ensure!(again.changes.is_empty() && again.version == 1, "the same import again says {again:?}");
    let config = &tenant.bundle.config;
    Ok(vec![format!(
        "config version 1: {} policies, {} connectors, {} callbacks, {} webhook routes; importing it again changes nothing",
        config.policies.len(),
        config.connectors.len(),
        config.callbacks.len(),
        config.webhook_routes.len()
    )])
}

async fn secrets(stage: &Stage, tenant: &Tenant) -> anyhow::Result<Evidence> {
    let workspace = stage.admin()?.workspace(&tenant.workspace);
    let mut evidence = Vec::new();
    for (name, request) in tenant.secrets() {
        let view = workspace.put_secret(&name, &request).await?;
        evidence.push(format!("{name}: version {}, sealed; it cannot be read back", view.version));
    }
    let statuses = workspace.secrets().page().await?;
    for status in &statuses.items {
        ensure!(status.health == SecretHealth::Ok, "{} is {:?}", status.name, status.health);
    }
    evidence.push(format!("{} secret references resolve", statuses.items.len()));
    Ok(evidence)
}

/// What holds when all is done.
pub(super) async fn acceptance(stage: &Stage, report: &mut Report, buildos: &Guest<'_>, beauty: &Guest<'_>) {
    report.chapter("7  Afterwards");
    let audit = async {
        let mut evidence = Vec::new();
        for guest in [buildos, beauty] {
            let verified = stage.admin()?.workspace(guest.workspace()).verify_audit().await?;
            ensure!(verified.intact && verified.records > 0, "the chain of {} says {verified:?}", guest.workspace());
            let head = verified.head.get(..12).unwrap_or_default();
            evidence.push(format!("{}: {} records, head {head}…", guest.workspace(), verified.records));
        }
        Ok(evidence)
    };
    report.step("the audit chains are whole", audit).await;
    let ready = async {
        ensure!(stage.admin()?.ready().await?, "/readyz says no");
        Ok(vec!["/readyz answers 200".to_owned()])
    };
    report.step("the install is ready", ready).await;
}
