//! Config versions: a change, and taking it back in one action.

use anyhow::ensure;
use orchestrator_types::ConfigRequest;
use serde_json::json;

use super::super::report::{Evidence, Report};
use super::super::stage::Stage;
use super::Guest;

pub(super) async fn chapter(stage: &Stage, report: &mut Report, buildos: &Guest<'_>) {
    report.chapter("6  Config versions: rollback in one action");
    report.step("a change is a new version, live at once; a rollback is one request", rollback(stage, buildos)).await;
    report.step("a stale change is refused", stale(stage, buildos)).await;
    report.step("a config that cannot work is refused whole, with pointers", invalid(stage, buildos)).await;
}

async fn rollback(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let workspace = stage.admin()?.workspace(guest.workspace());
    let before = workspace.config().await?.body;
    let mut config = before.config.clone();
    config.settings.insert("greeting".to_owned(), json!({"text": "hello"}));
    let message = "greet the customers".to_owned();
    let changed = workspace.add_config(&ConfigRequest { config, message, activate: None }).await?.body;
    let seen = guest.client.product_config().await?;
    ensure!(seen.version == changed.version && seen.settings["greeting"]["text"] == "hello", "{seen:?}");
    let back = workspace.rollback_config("the greeting is wrong").await?.body;
    ensure!(back.version == before.version, "the rollback went to version {}", back.version);
    let seen = guest.client.product_config().await?;
    ensure!(seen.version == before.version && !seen.settings.contains_key("greeting"), "{seen:?}");
    let diff = workspace.diff_configs(before.version, changed.version).await?;
    Ok(vec![
        format!("version {} said hello; the product saw it at once", changed.version),
        format!(
            "one POST …/rollback: version {} again, at once; the difference is {}",
            back.version, diff.changes[0].pointer
        ),
    ])
}

async fn stale(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let workspace = stage.admin()?.workspace(guest.workspace());
    let read = workspace.config().await?;
    let etag = read.etag.ok_or_else(|| anyhow::anyhow!("the config has no ETag"))?;
    let mut config = read.body.config.clone();
    config.settings.insert("first".to_owned(), json!(1));
    let request = ConfigRequest { config, message: "first".to_owned(), activate: None };
    workspace.add_config(&request).if_match(&etag).await?;
    match workspace.rollback_config("too late").if_match(&etag).await {
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 412) => Ok(vec![error.to_string()]),
        other => anyhow::bail!("a change of what was changed meanwhile: {other:?}"),
    }
}

async fn invalid(stage: &Stage, guest: &Guest<'_>) -> anyhow::Result<Evidence> {
    let workspace = stage.admin()?.workspace(guest.workspace());
    let before = workspace.config().await?.body;
    let mut config = before.config.clone();
    for connector in config.connectors.values_mut() {
        connector.policy = "absent".parse()?;
    }
    config.settings.insert("stripe".to_owned(), json!({"api_key": "sk_live_51Habc"}));
    let request = ConfigRequest { config, message: "broken".to_owned(), activate: None };
    let Err(error) = workspace.add_config(&request).await else { anyhow::bail!("it was taken") };
    let Some(problem) = error.problem() else { anyhow::bail!("{error}") };
    ensure!(problem.status == 422 && problem.errors.len() > 1, "{problem:?}");
    ensure!(workspace.config().await?.body.version == before.version, "something was changed");
    let mut evidence = vec![format!("422 {}:", problem.code)];
    evidence.extend(problem.errors.iter().map(|error| format!("{}  {}", error.pointer, error.detail)));
    Ok(evidence)
}
