//! A plan in words: what is added (`+`), removed (`-`), changed (`~`), renamed on the way (`*`), and warned of (`!`).

use std::io::{self, IsTerminal};

use orchestrator_types::{BundleResult, Change, ChangeKind};
use serde_json::Value;

use crate::cli::output::clean;

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    On,
    Off,
}

impl Colour {
    /// On a terminal, unless `NO_COLOR` says otherwise.
    pub(super) fn of_output() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && io::stdout().is_terminal() { Self::On } else { Self::Off }
    }

    fn line(self, code: u8, text: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[{code}m{}\u{1b}[0m", clean(text)),
            Self::Off => clean(text),
        }
    }
}

const GREEN: u8 = 32;
const RED: u8 = 31;
const YELLOW: u8 = 33;
const CYAN: u8 = 36;

/// Whether an import changes anything.
pub(super) fn changes_anything(result: &BundleResult) -> bool {
    result.created || !result.changes.is_empty() || !result.operators.is_empty()
}

/// What changed, or would, in words.
pub(super) fn told(result: &BundleResult, colour: Colour) -> String {
    let mut lines = Vec::new();
    lines.push(match (result.created, result.dry_run, changes_anything(result)) {
        (true, true, _) => format!("{} would be created", result.workspace),
        (true, false, _) => format!("{} is created", result.workspace),
        (false, _, false) => format!("{} is so already (config version {})", result.workspace, result.version),
        (false, true, true) => format!("{} would change (config version {} now)", result.workspace, result.version),
        (false, false, true) => format!("{} is changed (config version {})", result.workspace, result.version),
    });
    let renamed = result.renamed.iter().map(|change| {
        let (before, after) = (shortened(change.before.as_ref()), shortened(change.after.as_ref()));
        colour.line(CYAN, &format!("  * {} {before} -> {after}", change.pointer))
    });
    lines.extend(renamed);
    lines.extend(result.changes.iter().chain(&result.operators).map(|change| line(change, colour)));
    let warnings = result.warnings.iter();
    lines.extend(warnings.map(|warning| colour.line(YELLOW, &format!("  ! {} {}", warning.pointer, warning.detail))));
    lines.join("\n")
}

fn line(change: &Change, colour: Colour) -> String {
    let (before, after) = (shortened(change.before.as_ref()), shortened(change.after.as_ref()));
    match change.kind {
        ChangeKind::Added => colour.line(GREEN, &format!("  + {} {after}", change.pointer)),
        ChangeKind::Removed => colour.line(RED, &format!("  - {} {before}", change.pointer)),
        ChangeKind::Changed => colour.line(YELLOW, &format!("  ~ {} {before} -> {after}", change.pointer)),
    }
}

const LONGEST: usize = 60;

fn shortened(value: Option<&Value>) -> String {
    let text = value.map_or_else(String::new, ToString::to_string);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use orchestrator_types::FieldError;
    use serde_json::json;

    use super::*;

    fn result() -> BundleResult {
        let changes = [
            (ChangeKind::Added, None, Some(json!("x".repeat(100)))),
            (ChangeKind::Changed, Some(json!(1)), Some(json!(2))),
            (ChangeKind::Removed, Some(json!(true)), None),
        ];
        let changes = changes.map(|(kind, before, after)| Change { pointer: "/a".to_owned(), kind, before, after });
        let role = Change { pointer: "/operators/olga".to_owned(), ..changes[1].clone() };
        BundleResult {
            workspace: "a-dev".parse().unwrap(),
            dry_run: true,
            created: false,
            version: 3,
            changes: changes.into(),
            operators: vec![role],
            renamed: vec![Change {
                pointer: "/workspace".to_owned(),
                kind: ChangeKind::Changed,
                before: Some(json!("b-dev")),
                after: Some(json!("a-dev")),
            }],
            warnings: vec![FieldError::new("/policies", "harsh\u{1b}[2J")],
        }
    }

    #[test]
    fn a_plan_says_what_is_added_changed_and_removed() {
        let mut result = result();
        let shown = told(&result, Colour::Off);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "a-dev would change (config version 3 now)");
        assert_eq!(lines[1], "  * /workspace \"b-dev\" -> \"a-dev\"");
        assert!(lines[2].starts_with("  + /a \"xxx") && lines[2].ends_with('…'), "{}", lines[2]);
        assert_eq!(lines[3..6], ["  ~ /a 1 -> 2", "  - /a true", "  ~ /operators/olga 1 -> 2"]);
        assert_eq!(lines[6], "  ! /policies harsh\u{fffd}[2J");
        result.changes.clear();
        assert!(changes_anything(&result), "an operator's role is a change");
        result.operators.clear();
        assert!(!changes_anything(&result));
        assert!(told(&result, Colour::Off).starts_with("a-dev is so already (config version 3)"));
    }

    #[test]
    fn colours_stand_around_what_was_cleaned_before() {
        let shown = told(&result(), Colour::On);
        assert!(shown.contains("\u{1b}[31m  - /a true\u{1b}[0m"), "{shown:?}");
        assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");
    }
}
