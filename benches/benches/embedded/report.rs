//! The rounds, and what is told of them.

use serde_json::json;

use crate::AnyError;
use crate::measure::Measured;

/// What was measured so far, in the order in which it was first.
#[derive(Debug, Default)]
pub(crate) struct Report {
    loads: Vec<(String, usize, Vec<Measured>)>,
    ratios: Vec<(String, Vec<f64>)>,
}

impl Report {
    /// Keeps a round of a load.
    pub(crate) fn take(&mut self, load: &str, in_flight: usize, measured: Measured) -> Measured {
        match self.loads.iter_mut().find(|(known, callers, _)| known == load && *callers == in_flight) {
            Some((_, _, rounds)) => rounds.push(measured),
            None => self.loads.push((load.to_owned(), in_flight, vec![measured])),
        }
        measured
    }

    /// Keeps a round of a ratio, or of another number that is made of several loads.
    pub(crate) fn ratio(&mut self, name: &str, value: f64) {
        match self.ratios.iter_mut().find(|(known, _)| known == name) {
            Some((_, rounds)) => rounds.push(value),
            None => self.ratios.push((name.to_owned(), vec![value])),
        }
    }

    /// Prints the medians.
    pub(crate) fn print(&self, as_json: bool) -> Result<(), AnyError> {
        let micros = |rounds: &[Measured], of: fn(&Measured) -> std::time::Duration| {
            median(rounds.iter().map(|round| of(round).as_secs_f64() * 1e6))
        };
        let loads: Vec<_> = self
            .loads
            .iter()
            .map(|(load, in_flight, rounds)| {
                let rate = median(rounds.iter().map(|round| round.per_second));
                (load, *in_flight, rate, micros(rounds, |round| round.p50), micros(rounds, |round| round.p99))
            })
            .collect();
        let ratios: Vec<_> = self.ratios.iter().map(|(name, rounds)| (name, median(rounds.iter().copied()))).collect();
        if as_json {
            let load = |(load, in_flight, rate, p50, p99): &(&String, usize, f64, f64, f64)| json!({"load": load, "in_flight": in_flight, "per_second": rate, "p50_us": p50, "p99_us": p99});
            let ratio = |(name, value): &(&String, f64)| json!({"ratio": name, "value": value});
            let (loads, ratios): (Vec<_>, Vec<_>) =
                (loads.iter().map(load).collect(), ratios.iter().map(ratio).collect());
            println!("{}", serde_json::to_string_pretty(&json!({"loads": loads, "ratios": ratios}))?);
            return Ok(());
        }
        println!("{:<44} {:>9} {:>12} {:>10} {:>10}", "load", "in flight", "per second", "p50 µs", "p99 µs");
        for (load, in_flight, rate, p50, p99) in loads {
            println!("{load:<44} {in_flight:>9} {rate:>12.0} {p50:>10.0} {p99:>10.0}");
        }
        println!();
        for (name, value) in ratios {
            println!("{name:<54} {value:>12.2}");
        }
        Ok(())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
