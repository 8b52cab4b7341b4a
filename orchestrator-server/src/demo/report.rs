//! How the walk is told: for people in a terminal, or as JSON for machines.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Instant;

use comfy_table::{Cell, ContentArrangement, Table, presets};
use orchestrator_types::{EventType, EventView};
use serde::Serialize;

use super::stage::Stage;

/// What a step showed.
pub(crate) type Evidence = Vec<String>;

#[derive(Serialize)]
struct Step {
    chapter: String,
    title: String,
    ok: bool,
    duration_ms: u128,
    evidence: Evidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The report of a walk.
pub(crate) struct Report {
    json: bool,
    colour: bool,
    started: Instant,
    chapter: String,
    steps: Vec<Step>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let colour = !json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { json, colour, started: Instant::now(), chapter: String::new(), steps: Vec::new() }
    }

    pub(crate) fn held(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.ok)
    }

    pub(crate) fn open(&self, stage: &Stage) {
        self.say(&format!(
            "\n{}  one install, environment dev, embedded storage, nothing else installed\n  api {}   ops {}\n  upstream {}   product {}",
            self.paint("1", "Orchestrator demo"),
            stage.url,
            stage.ops_url,
            stage.upstream.url,
            stage.buildos.product.url
        ));
    }

    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapter = title.to_owned();
        self.say(&format!("\n{}", self.paint("1", title)));
    }

    /// Runs a step and tells how it went.
    pub(crate) async fn step<F>(&mut self, title: &str, work: F)
    where
        F: Future<Output = anyhow::Result<Evidence>>,
    {
        let started = Instant::now();
        let result = work.await;
        let duration_ms = started.elapsed().as_millis();
        let (ok, evidence, error) = match result {
            Ok(evidence) => (true, evidence, None),
            Err(error) => (false, Vec::new(), Some(format!("{error:#}"))),
        };
        let tick = if ok { self.paint("32", "✓") } else { self.paint("31", "✗") };
        self.say(&format!("  {tick} {title}  {}", self.paint("2", &format!("{duration_ms} ms"))));
        for line in evidence.iter().chain(&error) {
            self.say(&self.paint(if ok { "2" } else { "31" }, &format!("      {line}")));
        }
        self.steps.push(Step {
            chapter: self.chapter.clone(),
            title: title.to_owned(),
            ok,
            duration_ms,
            evidence,
            error,
        });
    }

    /// The table at the end, and both event streams.
    pub(crate) async fn close(&self, stage: &Stage) {
        let streams = stage.streams().await;
        if self.json {
            let streams: serde_json::Map<_, _> =
                streams.into_iter().map(|(name, events)| (name, serde_json::json!(events))).collect();
            let whole = serde_json::json!({
                "ok": self.held(), "duration_ms": self.started.elapsed().as_millis(), "steps": self.steps, "events": streams,
            });
            Self::print(&whole.to_string());
            return;
        }
        for (name, events) in streams {
            self.say(&format!(
                "\n{}",
                self.paint("1", &format!("The event stream of {name} ({} events)", events.len()))
            ));
            for run in events.chunk_by(alike) {
                let [event, ..] = run else { continue };
                let time = event.time.to_string();
                let time = time.get(11..23).unwrap_or_default();
                let trace = event.trace_id.to_string();
                let trace = trace.get(..8).unwrap_or_default();
                let more = if run.len() > 1 { format!("  and {} more", run.len() - 1) } else { String::new() };
                self.say(&format!("  {time}  {trace}  {:<20} {}{more}", event.kind.as_str(), event.subject));
            }
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["chapter", "steps", "held", "ms"]);
        let mut chapters: Vec<&str> = Vec::new();
        for step in &self.steps {
            if chapters.last() != Some(&step.chapter.as_str()) {
                chapters.push(&step.chapter);
            }
        }
        for chapter in chapters {
            let steps: Vec<_> = self.steps.iter().filter(|step| step.chapter == chapter).collect();
            let held = steps.iter().filter(|step| step.ok).count();
            let spent: u128 = steps.iter().map(|step| step.duration_ms).sum();
            table.add_row([Cell::new(chapter), Cell::new(steps.len()), Cell::new(held), Cell::new(spent)]);
        }
        self.say(&format!("\n{table}"));
        let failed = self.steps.iter().filter(|step| !step.ok).count();
        let verdict = if failed == 0 {
            self.paint("32", &format!("all {} steps held", self.steps.len()))
        } else {
            self.paint("31", &format!("{failed} of {} steps did not hold", self.steps.len()))
        };
        self.say(&format!("{verdict} in {} ms\n", self.started.elapsed().as_millis()));
    }

    pub(crate) fn keep(&self, stage: &Stage) -> anyhow::Result<()> {
        self.say(&format!(
            "Serving on {} until Ctrl-C. An administrator's token, for an hour:\n  export ORCHESTRATOR_TOKEN={}\n  curl -H \"Authorization: Bearer $ORCHESTRATOR_TOKEN\" {}/workspaces\nDocumentation: {}/docs",
            stage.url,
            stage.admin_token()?,
            stage.url,
            stage.url
        ));
        Ok(())
    }

    fn say(&self, text: &str) {
        if !self.json {
            Self::print(text);
        }
    }

    fn print(text: &str) {
        // A reader that has gone away is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Calls that fail in a row are told once.
fn alike(before: &EventView, after: &EventView) -> bool {
    before.kind == after.kind && after.kind == EventType::ExecutionFailed
}
