//! The rounds, and what is told of them.

#![allow(clippy::print_stdout, reason = "what was measured is told on the terminal")]

use std::time::Duration;

use serde_json::{Value, json};

use crate::AnyError;
use crate::measure::Measured;

/// What was measured so far, in the order in which it was first.
#[derive(Debug, Default)]
pub struct Report {
    loads: Vec<(String, usize, Vec<Measured>)>,
    ratios: Vec<(String, Vec<f64>)>,
}

impl Report {
    /// Keeps a round of a load.
    pub fn take(&mut self, load: &str, in_flight: usize, measured: Measured) -> Measured {
        match self.loads.iter_mut().find(|(known, callers, _)| known == load && *callers == in_flight) {
            Some((_, _, rounds)) => rounds.push(measured),
            None => self.loads.push((load.to_owned(), in_flight, vec![measured])),
        }
        measured
    }

    /// Keeps a round of a ratio, or of another number that is made of several loads.
    pub fn ratio(&mut self, name: &str, value: f64) {
        match self.ratios.iter_mut().find(|(known, _)| known == name) {
            Some((_, rounds)) => rounds.push(value),
            None => self.ratios.push((name.to_owned(), vec![value])),
        }
    }

    /// Prints the medians, with the least and the most of the rounds.
    ///
    /// # Errors
    /// A figure is no JSON.
    pub fn print(&self, as_json: bool) -> Result<(), AnyError> {
        if as_json {
            let loads: Vec<_> = self.loads.iter().map(load_json).collect();
            let ratios: Vec<_> = self.ratios.iter().map(ratio_json).collect();
            println!("{}", serde_json::to_string_pretty(&json!({"loads": loads, "ratios": ratios}))?);
            return Ok(());
        }
        println!(
            "{:<40} {:>9} {:>11} {:>17} {:>9} {:>9}",
            "load", "in flight", "per second", "least to most", "p50 µs", "p99 µs"
        );
        for (load, in_flight, rounds) in &self.loads {
            let rate = Spread::of(rounds.iter().map(|round| round.per_second));
            let (p50, p99) = (micros(rounds, |round| round.p50), micros(rounds, |round| round.p99));
            let span = format!("{:.0} to {:.0}", rate.least, rate.most);
            println!("{load:<40} {in_flight:>9} {:>11.0} {span:>17} {p50:>9.0} {p99:>9.0}", rate.median);
        }
        println!();
        for (name, rounds) in &self.ratios {
            let ratio = Spread::of(rounds.iter().copied());
            let span = format!("{:.2} to {:.2}", ratio.least, ratio.most);
            println!("{name:<50} {:>11.2} {span:>17}", ratio.median);
        }
        Ok(())
    }
}

fn load_json((load, in_flight, rounds): &(String, usize, Vec<Measured>)) -> Value {
    let rate = Spread::of(rounds.iter().map(|round| round.per_second));
    json!({
        "load": load, "in_flight": in_flight,
        "per_second": rate.median, "per_second_least": rate.least, "per_second_most": rate.most,
        "p50_us": micros(rounds, |round| round.p50), "p99_us": micros(rounds, |round| round.p99),
    })
}

fn ratio_json((name, rounds): &(String, Vec<f64>)) -> Value {
    let ratio = Spread::of(rounds.iter().copied());
    json!({"ratio": name, "value": ratio.median, "least": ratio.least, "most": ratio.most})
}

fn micros(rounds: &[Measured], of: fn(&Measured) -> Duration) -> f64 {
    Spread::of(rounds.iter().map(|round| of(round).as_secs_f64() * 1e6)).median
}

/// The rounds of one figure.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(values.len() / 2), least: at(0), most: at(values.len().saturating_sub(1)) }
    }
}
