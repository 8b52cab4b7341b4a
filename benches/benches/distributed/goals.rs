//! What is wanted, and what was reached.

use std::fmt::Write as _;

use orchestrator_benches::AnyError;
use orchestrator_benches::options::Options;

use crate::plot;

/// A figure that something is wanted of.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) wanted: f64,
    /// More is better.
    pub(crate) upwards: bool,
    rounds: Vec<f64>,
}

impl Goal {
    /// The median of the rounds.
    pub(crate) fn reached(&self) -> f64 {
        let mut rounds = self.rounds.clone();
        rounds.sort_unstable_by(f64::total_cmp);
        rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Whether it is met.
    pub(crate) fn is_met(&self) -> bool {
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
            std::fs::write(folder.join("goals.svg"), plot::bars(&self.0)?)?;
        }
        Ok(())
    }

    fn table(&self) -> Result<String, AnyError> {
        let mut table = "| figure | wanted | reached | |\n|---|--:|--:|---|\n".to_owned();
        for goal in &self.0 {
            let sign = if goal.upwards { "≥" } else { "≤" };
            let met = if goal.is_met() { "met" } else { "not met" };
            writeln!(table, "| {} | {sign} {} | {:.2} | {met} |", goal.name, goal.wanted, goal.reached())?;
        }
        Ok(table)
    }
}
