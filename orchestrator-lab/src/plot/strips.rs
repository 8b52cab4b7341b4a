//! What each policy's breaker did, as a strip.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::colours::{INK, MUTED, TROUBLE, colour};
use super::{Area, Drawn, LEFT, RIGHT, STRIP, STRIPS_HEAD, WIDTH, shortened, write, x};
use crate::report::{PolicyReport, Report};

/// How strongly a state is painted.
const CLOSED: f64 = 0.12;
const HALF_OPEN: f64 = 0.5;
const OPEN: f64 = 1.0;

/// One strip a policy, over the same time as the panels.
pub(super) fn breakers(report: &Report, area: &Area<'_>) -> Drawn {
    let name = "breakers (solid: open; pale: closed, or there is none; between: half-open)";
    write(area, name, (i32::try_from(LEFT)?, 16), 14.0, &INK, HPos::Left)?;
    let seconds = x(report.scenario.seconds);
    let (top, bottom) = (i32::try_from(STRIPS_HEAD)? - 4, foot(report)? - 4);
    for phase in report.scenario.phases.iter().filter(|phase| phase.trouble) {
        let place = [(pixel(x(phase.from_s), seconds), top), (pixel(x(phase.to_s), seconds), bottom)];
        area.draw(&Rectangle::new(place, TROUBLE.filled()))?;
    }
    for (index, policy) in report.policies.iter().enumerate() {
        let top = i32::try_from(STRIPS_HEAD)? + i32::try_from(index)? * i32::try_from(STRIP)?;
        let label = shortened(&policy.name, 11);
        write(area, &label, (i32::try_from(LEFT)? - 8, top + 9), 12.0, &MUTED, HPos::Right)?;
        for (from, to, strength) in states(policy, seconds) {
            let place = [(pixel(from, seconds), top), (pixel(to, seconds).max(pixel(from, seconds) + 1), top + 18)];
            area.draw(&Rectangle::new(place, colour(index).mix(strength).filled()))?;
        }
    }
    let middle = i32::try_from((WIDTH + LEFT - RIGHT) / 2)?;
    write(area, "time, s", (middle, foot(report)? + 14), 13.0, &MUTED, HPos::Center)
}

/// Where the strips end.
fn foot(report: &Report) -> Result<i32, std::num::TryFromIntError> {
    let strips = i32::try_from(report.policies.len())? * i32::try_from(STRIP)?;
    Ok(i32::try_from(STRIPS_HEAD)? + strips)
}

/// From when to when the breaker was in which state.
fn states(policy: &PolicyReport, end: f64) -> Vec<(f64, f64, f64)> {
    let (mut since, mut strength, mut states) = (0.0, CLOSED, Vec::new());
    for change in &policy.breaker {
        let at = change.at_s.min(end);
        states.push((since, at, strength));
        since = at;
        strength = match change.to {
            "open" => OPEN,
            "half_open" => HALF_OPEN,
            _ => CLOSED,
        };
    }
    states.push((since, end, strength));
    states
}

#[allow(clippy::cast_possible_truncation, reason = "pixels")]
fn pixel(seconds: f64, end: f64) -> i32 {
    (f64::from(LEFT) + f64::from(WIDTH - LEFT - RIGHT) * seconds / end.max(1.0)).round() as i32
}
