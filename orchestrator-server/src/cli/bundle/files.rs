//! The bundles that a command was given: files, a folder, or standard input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use orchestrator_core::config::bundle::Syntax;
use orchestrator_types::WorkspaceId;
use serde_json::Value;

use crate::cli::connection::text_of;

/// A text with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A bundle that was read.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) workspace: WorkspaceId,
    pub(super) document: Value,
    /// Whether it is of another workspace.
    pub(super) renamed: bool,
}

/// Reads what the paths name: files as they are, and of folders what ends in `.json`, `.yaml` or `.yml`, by name.
pub(super) fn sources(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        let files = if path.is_dir() { of_folder(path)? } else { vec![path.clone()] };
        for path in files {
            let text = text_of(&path)?;
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

fn of_folder(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let what = || folder.display().to_string();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let bundle = path.extension().is_some_and(|end| ["json", "yaml", "yml"].iter().any(|known| end == *known));
        if bundle && !hidden && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} holds no .json, .yaml or .yml file", what());
    }
    files.sort();
    Ok(files)
}

/// Reads all of them before any is applied: a typo in the last leaves nothing half done.
pub(super) fn documents(sources: &[Source], target: Option<&WorkspaceId>) -> anyhow::Result<Vec<Document>> {
    if target.is_some() && sources.len() != 1 {
        bail!("--as takes one bundle, and there are {}", sources.len());
    }
    let mut known = BTreeMap::new();
    let mut documents = Vec::new();
    for source in sources {
        let what = source.path.display();
        let document = Syntax::of(&source.text).read(source.text.as_bytes()).map_err(|problem| {
            let at = if problem.pointer.is_empty() { String::new() } else { format!("{}: ", problem.pointer) };
            anyhow::anyhow!("{what} is no bundle: {at}{}", problem.detail)
        })?;
        let named = document.get("workspace").and_then(Value::as_str).unwrap_or_default();
        let named: WorkspaceId =
            named.parse().map_err(|problem| anyhow::anyhow!("{what} is no bundle: /workspace: {problem}"))?;
        let workspace = target.unwrap_or(&named).clone();
        if let Some(other) = known.insert(workspace.clone(), &source.path) {
            bail!("{} and {what} are both of {workspace}", other.display());
        }
        documents.push(Document { renamed: workspace != named, workspace, document });
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read(folder: &tempfile::TempDir, target: Option<&str>) -> anyhow::Result<Vec<(String, bool)>> {
        let sources = sources(&[folder.path().to_owned()])?;
        let target = target.map(|target| target.parse().unwrap());
        let documents = documents(&sources, target.as_ref())?;
        Ok(documents.into_iter().map(|one| (one.workspace.to_string(), one.renamed)).collect())
    }

    #[test]
    fn a_folder_is_read_by_name_and_only_what_is_a_bundle() {
        let files = [
            ("b.yaml", "workspace: b-dev"),
            ("a.json", r#"{"workspace": "a-dev"}"#),
            (".c.yaml", "workspace: c-dev"),
            ("README.md", "no"),
        ];
        let found = read(&folder(&files), None).unwrap();
        assert_eq!(found, [("a-dev".to_owned(), false), ("b-dev".to_owned(), false)]);
        assert!(read(&folder(&[("a.txt", "")]), None).unwrap_err().to_string().contains("holds no"));
    }

    #[test]
    fn one_workspace_is_described_once() {
        let twice = folder(&[("a.yaml", "workspace: a-dev"), ("b.yaml", "workspace: a-dev")]);
        let refused = read(&twice, None).unwrap_err().to_string();
        assert!(refused.contains("a.yaml") && refused.contains("b.yaml") && refused.contains("a-dev"), "{refused}");
        assert!(read(&twice, Some("c-dev")).unwrap_err().to_string().contains("--as"));
        let one = folder(&[("a.yaml", "workspace: a-dev")]);
        assert_eq!(read(&one, Some("a-prod")).unwrap(), [("a-prod".to_owned(), true)]);
        assert_eq!(read(&one, Some("a-dev")).unwrap(), [("a-dev".to_owned(), false)]);
    }

    #[test]
    fn what_is_no_bundle_is_told_with_its_file() {
        for text in ["a: [", "format: 1", "workspace: A", "a: 1\na: 2", "{\"a\": 1}"] {
            let refused = read(&folder(&[("x.yaml", text)]), None).unwrap_err().to_string();
            assert!(refused.contains("x.yaml is no bundle"), "{text}: {refused}");
        }
    }
}
