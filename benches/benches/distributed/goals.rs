//! What is wanted, and what was reached.

use std::fmt::Write as _;

use orchestrator_benches::AnyError;
use orchestrator_benches::options::Options;

use crate::plot;

/// A figure that something is wanted of.
#[derive(Debug)]
struct Goal {
    name: String,
    wanted: f64,
    /// More is better.
    upwards: bool,
    rounds: Vec<f64>,
}

impl Goal {
    /// The median of the rounds.
    fn reached(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_unstable_by(f64::total_cmp);
        rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn sign(&self) -> &'static str {
        if self.upwards { "≥" } else { "≤" }
    }

    fn is_met(&self) -> bool {
        if self.upwards { self.reached() >= self.wanted } else { self.reached() <= self.wanted }
    }
}

/// All of them, in the order in which they were first measured.
#[derive(Debug, Default)]
pub(crate) struct Goals(Vec<Goal>);

impl Goals {
    pub(crate) fn at_least(&mut self, name: &str, value: f64, wanted: f64) {
        self.take(name, value, wanted, true);
    }

    pub(crate) fn at_most(&mut self, name: &str, value: f64, wanted: f64) {
        self.take(name, value, wanted, false);
    }

    fn take(&mut self, name: &str, value: f64, wanted: f64, upwards: bool) {
        match self.0.iter_mut().find(|goal| goal.name == name) {
            Some(goal) => goal.rounds.push(value),
            None => self.0.push(Goal { name: name.to_owned(), wanted, upwards, rounds: vec![value] }),
        }
    }

    /// Prints them, and writes a table and a plot if a folder is given.
    pub(crate) fn print(&self, options: &Options) -> Result<(), AnyError> {
        let table = self.table()?;
        if !options.json {
            println!("\n{table}");
        }
        if let Some(folder) = &options.out {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join("goals.md"), table)?;
            std::fs::write(folder.join("goals.svg"), plot::bars(&self.bars())?)?;
        }
        Ok(())
    }

    fn bars(&self) -> Vec<plot::Bar> {
        let bar = |goal: &Goal| plot::Bar {
            name: goal.name.clone(),
            told: format!("{:.2} ({} {})", goal.reached(), goal.sign(), goal.wanted),
            share: if goal.upwards { goal.reached() / goal.wanted } else { goal.wanted / goal.reached() },
        };
        self.0.iter().map(bar).collect()
    }

    fn table(&self) -> Result<String, AnyError> {
        let mut table = "| figure | wanted | reached | |\n|---|--:|--:|---|\n".to_owned();
        for goal in &self.0 {
            let sign = goal.sign();
            let met = if goal.is_met() { "met" } else { "not met" };
            writeln!(table, "| {} | {sign} {} | {:.2} | {met} |", goal.name, goal.wanted, goal.reached())?;
        }
        Ok(table)
    }
}
