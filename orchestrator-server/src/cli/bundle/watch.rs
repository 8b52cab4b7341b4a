//! `apply --watch`: the server is kept at what the files say, and what differs from it is told.
//!
//! The files are looked at, not listened for: that works on every file system, and for folders that are swapped by a link.
//! A change is applied once it has stood still for one look.

use std::time::Duration;

use tokio::time::Instant;

use super::files::{Source, documents, sources};
use super::plan::{Colour, changes_anything, told};
use super::{Apply, Planned, plan_all};
use crate::cli::output::{Printer, note};
use crate::cli::signals::Signals;
use crate::cli::{Verdict, output};

/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    /// The files say something new.
    Apply,
    /// Whether the server still is what they say.
    Compare,
}

/// When what is to be done. Knows the time only by being told.
struct Watch {
    look: Duration,
    compare: Duration,
    seen: Option<Vec<Source>>,
    applied: bool,
    failures: u32,
    next: Instant,
}

impl Watch {
    fn new(look: Duration, compare: Duration, now: Instant) -> Self {
        Self { look, compare, seen: None, applied: false, failures: 0, next: now }
    }

    fn looked(&mut self, files: &[Source], now: Instant) -> Step {
        if self.seen.as_deref() != Some(files) {
            (self.seen, self.applied, self.failures, self.next) = (Some(files.to_vec()), false, 0, now);
            return Step::Nothing;
        }
        match (now < self.next, self.applied) {
            (true, _) => Step::Nothing,
            (false, false) => Step::Apply,
            (false, true) => Step::Compare,
        }
    }

    fn succeeded(&mut self, now: Instant) {
        (self.applied, self.failures, self.next) = (true, 0, now + self.compare);
    }

    /// Failed for the so-manieth time: the waits double, and are spread.
    fn failed(&mut self, now: Instant) {
        self.failures += 1;
        let wait = self.look.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.next = now + wait.mul_f64(0.5 + fastrand::f64() / 2.0);
    }
}

/// Runs until it is told to stop.
pub(super) async fn watch(apply: &Apply, printer: Printer) -> anyhow::Result<Verdict> {
    let mut signals = Signals::listen()?;
    let (look, compare) = (Duration::from_millis(apply.look_ms), Duration::from_secs(apply.compare_s));
    let mut watch = Watch::new(look, compare, Instant::now());
    // Of what lasts, each is told once.
    let (mut trouble, mut drift) = (String::new(), String::new());
    loop {
        let done = tokio::select! {
            _ = signals.next() => return Ok(Verdict::Good),
            done = step(apply, printer, &mut watch, &mut drift) => done,
        };
        match done {
            Ok(Step::Nothing) => {}
            Ok(Step::Apply | Step::Compare) => {
                watch.succeeded(Instant::now());
                trouble.clear();
            }
            Err(error) => {
                watch.failed(Instant::now());
                let line = output::sentence(&error);
                if trouble != line {
                    printer.failure(&error);
                    trouble = line;
                }
            }
        }
        tokio::select! {
            _ = signals.next() => return Ok(Verdict::Good),
            () = tokio::time::sleep(look) => {}
        }
    }
}

async fn step(apply: &Apply, printer: Printer, watch: &mut Watch, drift: &mut String) -> anyhow::Result<Step> {
    let files = sources(&apply.files)?;
    let step = watch.looked(&files, Instant::now());
    if step == Step::Nothing {
        return Ok(step);
    }
    let client = apply.connection.client()?;
    let planned = plan_all(&client, documents(&files, apply.target.as_ref())?).await?;
    let differs: Vec<&Planned> = planned.iter().filter(|one| changes_anything(&one.result)).collect();
    if step == Step::Compare {
        let found = differs.iter().map(|one| told(&one.result, Colour::Off)).collect::<Vec<_>>().join("\n");
        if !found.is_empty() && *drift != found {
            let what = if apply.enforce { ", and is set back" } else { "" };
            note(&format!("the server differs from the files{what}:\n{found}"))?;
        }
        let differs = !found.is_empty();
        *drift = found;
        if !(differs && apply.enforce) {
            return Ok(step);
        }
    }
    for one in differs {
        let applied = one.apply(&client).await?;
        printer.line(&applied, || told(&applied, Colour::Off))?;
    }
    drift.clear();
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn files(text: &str) -> Vec<Source> {
        vec![Source { path: "a.yaml".into(), text: text.to_owned() }]
    }

    #[test]
    fn a_change_is_applied_once_it_has_stood_still() {
        let start = Instant::now();
        let mut watch = Watch::new(SECOND, SECOND * 30, start);
        assert_eq!(watch.looked(&files("a"), start), Step::Nothing);
        assert_eq!(watch.looked(&files("ab"), start + SECOND), Step::Nothing);
        assert_eq!(watch.looked(&files("ab"), start + SECOND * 2), Step::Apply);
        watch.succeeded(start + SECOND * 2);
        assert_eq!(watch.looked(&files("ab"), start + SECOND * 31), Step::Nothing);
        assert_eq!(watch.looked(&files("ab"), start + SECOND * 32), Step::Compare);
        watch.succeeded(start + SECOND * 32);
        assert_eq!(watch.looked(&files("c"), start + SECOND * 33), Step::Nothing);
        assert_eq!(watch.looked(&files("c"), start + SECOND * 34), Step::Apply);
    }

    #[test]
    fn failures_are_retried_ever_later_and_a_change_at_once() {
        let start = Instant::now();
        let mut watch = Watch::new(SECOND, SECOND * 30, start);
        watch.looked(&files("a"), start);
        for failures in 1..20 {
            watch.failed(start);
            let wait = watch.next - start;
            let most = (SECOND * (1 << failures.min(10))).min(LONGEST);
            assert!(wait >= most / 2 && wait <= most, "{failures}: {wait:?}");
            assert_eq!(watch.looked(&files("a"), start + wait / 2), Step::Nothing);
        }
        assert_eq!(watch.looked(&files("a"), start + LONGEST), Step::Apply);
        assert_eq!(watch.looked(&files("b"), start + SECOND), Step::Nothing);
        assert_eq!(watch.looked(&files("b"), start + SECOND * 2), Step::Apply, "what is new is not made to wait");
    }
}
