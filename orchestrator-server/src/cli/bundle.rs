//! `orchestrator apply` and `orchestrator export`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use orchestrator_types::{Bundle, BundleResult, Change, ChangeKind, WorkspaceId};
use serde_json::Value;

use super::Verdict;
use super::connection::{Connection, text_of};
use super::output::{Printer, clean, write};

/// Make workspaces what bundles say.
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// A bundle in JSON or YAML; `-` is standard input. May be given several times.
    #[arg(short = 'f', long = "file", required = true)]
    files: Vec<PathBuf>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Write a workspace as one document.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The workspace.
    workspace: WorkspaceId,
    /// In YAML instead of JSON.
    #[arg(long)]
    yaml: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Apply {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let client = self.connection.client()?;
        // All are read before any is applied: a typo in the last leaves nothing half done.
        let bundles: Vec<Bundle> = self.files.iter().map(|path| read(path)).collect::<anyhow::Result<_>>()?;
        for bundle in bundles {
            let workspace = client.workspace(&bundle.workspace);
            let result = workspace.import_bundle(&bundle, self.dry_run).await?;
            printer.told(&result, || clean(&plan(&result)))?;
        }
        Ok(Verdict::Good)
    }
}

impl Export {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let bundle = self.connection.workspace(&self.workspace)?.export_bundle().await?;
        if self.yaml {
            write(serde_norway::to_string(&bundle)?.trim_end())?;
        } else {
            printer.json(&bundle)?;
        }
        Ok(Verdict::Good)
    }
}

fn read(path: &Path) -> anyhow::Result<Bundle> {
    let text = text_of(path)?;
    let what = || format!("{} is no bundle", path.display());
    if text.trim_start().starts_with('{') {
        // As JSON, if that is what it is: the other parser's words would speak of YAML.
        serde_json::from_str(&text).with_context(what)
    } else {
        serde_norway::from_str(&text).with_context(what)
    }
}

/// What changed, or would, in words.
fn plan(result: &BundleResult) -> String {
    let mut lines = Vec::new();
    lines.push(match (result.created, result.dry_run, result.changes.is_empty()) {
        (true, true, _) => format!("{} would be created", result.workspace),
        (true, false, _) => format!("{} is created", result.workspace),
        (false, _, true) => format!("{} is so already (config version {})", result.workspace, result.version),
        (false, true, false) => format!("{} would change (config version {} now)", result.workspace, result.version),
        (false, false, false) => format!("{} is changed (config version {})", result.workspace, result.version),
    });
    lines.extend(result.changes.iter().map(change));
    let warnings = result.warnings.iter().map(|warning| format!("  ! {} {}", warning.pointer, warning.detail));
    lines.extend(warnings);
    lines.join("\n")
}

fn change(change: &Change) -> String {
    let short = |value: &Option<Value>| value.as_ref().map_or_else(String::new, shortened);
    match change.kind {
        ChangeKind::Added => format!("  + {} {}", change.pointer, short(&change.after)),
        ChangeKind::Removed => format!("  - {} {}", change.pointer, short(&change.before)),
        ChangeKind::Changed => {
            format!("  ~ {} {} -> {}", change.pointer, short(&change.before), short(&change.after))
        }
    }
}

const LONGEST: usize = 60;

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    const YAML: &str = "format: 1\nworkspace: a-dev\nconfig:\n  secret_refs:\n    t: {source: env, key: A_DEV_T}\n  \
                        connectors:\n    c: {kind: http, settings: {base_url: 'https://a.example'}, secrets: {bearer: t}}\n";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_bundle_is_the_same_in_yaml_and_in_json() {
        let yaml = read(file(YAML).path()).unwrap();
        let json = read(file(&serde_json::to_string(&yaml).unwrap()).path()).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(yaml.config.connectors.len(), 1);
        let again = read(file(&serde_norway::to_string(&yaml).unwrap()).path()).unwrap();
        assert_eq!(yaml, again);
    }

    #[test]
    fn a_typo_in_a_bundle_is_told_with_its_file() {
        let file = file(&YAML.replace("connectors", "conectors"));
        let line = format!("{:#}", read(file.path()).unwrap_err());
        assert!(line.contains("conectors") && line.contains(&file.path().display().to_string()), "{line}");
    }

    #[test]
    fn a_plan_says_what_is_added_changed_and_removed() {
        let changes = [
            (ChangeKind::Added, None, Some(json!("x".repeat(100)))),
            (ChangeKind::Changed, Some(json!(1)), Some(json!(2))),
            (ChangeKind::Removed, Some(json!(true)), None),
        ];
        let changes = changes.map(|(kind, before, after)| Change { pointer: "/a".to_owned(), kind, before, after });
        let workspace = "a-dev".parse().unwrap();
        let mut result = BundleResult {
            workspace,
            dry_run: true,
            created: false,
            version: 3,
            changes: changes.into(),
            warnings: Vec::new(),
        };
        let shown = plan(&result);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "a-dev would change (config version 3 now)");
        assert!(lines[1].starts_with("  + /a \"xxx") && lines[1].ends_with('…'), "{}", lines[1]);
        assert_eq!(lines[2..], ["  ~ /a 1 -> 2", "  - /a true"]);
        result.changes.clear();
        assert_eq!(plan(&result), "a-dev is so already (config version 3)");
    }
}
