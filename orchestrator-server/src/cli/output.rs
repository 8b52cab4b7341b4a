//! What commands write: tables and lines for people, JSON for programs. Errors are one line on standard error.
//!
//! One rule: text that came from elsewhere is cleaned of control characters before a terminal sees it.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use orchestrator_client::Error as ClientError;
use orchestrator_types::{Page, Problem};
use serde::Serialize;
use serde_json::{Value, json};

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Writes answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer(Output);

impl Printer {
    pub(super) fn new(output: Output) -> Self {
        Self(output)
    }

    pub(super) fn is_json(self) -> bool {
        self.0 == Output::Json
    }

    /// One thing: as JSON, or as its fields by name.
    pub(super) fn thing<T: Serialize>(self, thing: &T, fields: &[(&str, String)]) -> anyhow::Result<()> {
        if self.is_json() {
            return self.json(thing);
        }
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        let lines: Vec<String> = fields.map(|(name, value)| format!("{name:<width$}  {}", clean(value))).collect();
        write(&lines.join("\n"))
    }

    /// One thing: as JSON, or as this text.
    pub(super) fn told<T: Serialize>(self, thing: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.is_json() { self.json(thing) } else { write(&text()) }
    }

    /// A page of a list: as JSON, or as a table. That there is more is said on standard error.
    pub(super) fn page<T: Serialize>(
        self,
        page: &Page<T>,
        header: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.is_json() {
            return self.json(page);
        }
        if page.items.is_empty() {
            return note("nothing");
        }
        self.table(header, page.items.iter().map(row))?;
        match &page.next_cursor {
            Some(cursor) => note(&format!("more: --cursor {}", clean(cursor))),
            None => Ok(()),
        }
    }

    /// A table, in text.
    pub(super) fn table(self, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header.iter().map(|name| name.to_uppercase()));
        for row in rows {
            table.add_row(row.iter().map(|cell| clean(cell)));
        }
        let text: Vec<String> = table.lines().map(|line| line.trim_end().replacen(' ', "", 1)).collect();
        write(&text.join("\n"))
    }

    /// One of many, as it comes: a line of JSON, or this text.
    pub(super) fn line<T: Serialize>(self, thing: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.is_json() { write(&serde_json::to_string(thing)?) } else { write(&clean(&text())) }
    }

    /// As JSON, whatever is asked for.
    pub(super) fn json<T: Serialize>(self, thing: &T) -> anyhow::Result<()> {
        write(&serde_json::to_string_pretty(thing)?)
    }

    /// The one line of a command that failed.
    pub(super) fn failure(self, error: &anyhow::Error) {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        let line = if self.is_json() { described(error).to_string() } else { format!("error: {}", sentence(error)) };
        // With standard error gone there is nobody left to tell.
        writeln!(io::stderr(), "{}", clean(&line)).ok();
    }
}

/// Says something beside the answer.
pub(super) fn note(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stderr(), "{text}")?)
}

/// Writes a text and a newline to standard output.
pub(super) fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// A value of the wire as a person reads it: texts bare, everything else as JSON.
pub(super) fn plain<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(other) => other.to_string(),
    }
}

/// The text without what steers a terminal.
pub(super) fn clean(text: &str) -> String {
    let steers = |letter: char| letter.is_control() && letter != '\n';
    text.chars().map(|letter| if steers(letter) { '\u{fffd}' } else { letter }).collect()
}

fn problem(error: &anyhow::Error) -> Option<&Problem> {
    error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()).and_then(ClientError::problem)
}

/// An error as one line.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let text = match problem(error) {
        Some(problem) => {
            let fields = problem.errors.iter().map(|field| format!("; {}: {}", field.pointer, field.detail));
            format!("{}: {}{}", problem.code, problem.detail, fields.collect::<String>())
        }
        None => told_once(error),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The error and its causes; a cause that the text before it tells already is left out.
fn told_once(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn described(error: &anyhow::Error) -> Value {
    match problem(error) {
        Some(problem) => json!(problem),
        None => json!({"code": "failed", "detail": sentence(error)}),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_one_line_that_tells_each_cause_once() {
        let error = anyhow!("inner\ncause").context("middle: inner\ncause").context("outer");
        assert_eq!(sentence(&error), "outer: middle: inner cause");
        assert_eq!(described(&error), json!({"code": "failed", "detail": "outer: middle: inner cause"}));
    }

    #[test]
    fn nothing_from_elsewhere_steers_a_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\rc\u{9b}d\ne"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\ne");
    }

    #[test]
    fn texts_are_shown_bare_and_the_rest_as_json() {
        assert_eq!((plain(&"a"), plain(&1), plain(&None::<u8>)), ("a".to_owned(), "1".to_owned(), String::new()));
    }
}
