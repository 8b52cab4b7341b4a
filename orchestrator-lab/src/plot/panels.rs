//! The three panels with lines.

use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::colours::{GRID, INK, MUTED, TROUBLE, colour};
use super::{Area, Drawn, LEFT, RIGHT, WIDTH, width, write, x};
use crate::report::{Report, SecondReport};

/// About so many points a line: more would be a scribble.
const POINTS: u64 = 120;
/// The height of a panel's name, and of the names of the phases below that of the first.
const NAME: u32 = 24;
const PHASES: u32 = 18;
/// What is faster is drawn as this, in milliseconds: an axis of powers has no zero.
const FASTEST: f64 = 1.0;

type Chart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;
type Points = Vec<(f64, f64)>;

/// The share of the requests that succeed.
pub(super) fn success(report: &Report, area: &Area<'_>) -> Drawn {
    let mut chart = chart(report, area, "requests that succeed, %", NAME + PHASES, 0.0..104.0)?;
    shade(report, &mut chart, 0.0, 104.0)?;
    mesh(&mut chart, |percent| format!("{percent:.0}"))?;
    phases(report, area)?;
    lines(report, &mut chart, |stretch| Some(100.0 * part(stretch.succeeded, stretch.requests)?))
}

/// What reaches the upstream, and what is asked.
pub(super) fn load(report: &Report, area: &Area<'_>) -> Drawn {
    let per_second = |stretch: &SecondReport| part(stretch.attempts, stretch.seconds);
    let hit = points(report, per_second).into_iter().flatten().flatten().map(|(_, attempts)| attempts);
    let asked = report.scenario.phases.iter().map(|phase| phase.per_second);
    let most = hit.chain(asked).fold(1.0, f64::max) * 1.08;
    let mut chart = chart(report, area, "attempts a second at the upstream (dashed: requests)", NAME, 0.0..most)?;
    shade(report, &mut chart, 0.0, most)?;
    mesh(&mut chart, |attempts| if most < 10.0 { format!("{attempts:.1}") } else { format!("{attempts:.0}") })?;
    lines(report, &mut chart, per_second)?;
    let steps: Points = report
        .scenario
        .phases
        .iter()
        .flat_map(|phase| [(x(phase.from_s), phase.per_second), (x(phase.to_s), phase.per_second)])
        .collect();
    chart.draw_series(DashedLineSeries::new(steps, 5, 4, INK.stroke_width(1)))?;
    Ok(())
}

/// How long calls take.
pub(super) fn latency(report: &Report, area: &Area<'_>) -> Drawn {
    let p99 = |stretch: &SecondReport| Some(millis(stretch.p99_ms?));
    let slowest = points(report, p99).into_iter().flatten().flatten().map(|(_, millis)| millis);
    let most = slowest.fold(100.0, f64::max) * 1.5;
    let mut chart = chart(report, area, "p99 of the latency of calls", NAME, (FASTEST..most).log_scale())?;
    shade(report, &mut chart, FASTEST, most)?;
    mesh(
        &mut chart,
        |millis| {
            if *millis >= 1_000.0 { format!("{:.0} s", millis / 1e3) } else { format!("{millis:.0} ms") }
        },
    )?;
    lines(report, &mut chart, p99)
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds")]
fn millis(millis: u64) -> f64 {
    (millis as f64).max(FASTEST)
}

fn chart<'a, 'b, Y>(
    report: &Report,
    area: &Area<'b>,
    name: &str,
    top: u32,
    y: Y,
) -> Result<Chart<'a, 'b, Y::CoordDescType>, Box<dyn std::error::Error>>
where
    Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64>,
{
    write(area, name, (i32::try_from(LEFT)?, 10), 14.0, &INK, HPos::Left)?;
    let chart = ChartBuilder::on(area)
        .margin_top(top)
        .margin_right(RIGHT)
        .margin_bottom(2)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 24)
        .build_cartesian_2d(0.0..x(report.scenario.seconds), y)?;
    Ok(chart)
}

fn mesh<Y>(chart: &mut Chart<'_, '_, Y>, label: impl Fn(&f64) -> String) -> Drawn
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let small = ("sans-serif", 12).into_font().color(&MUTED);
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED)
        .x_labels(12)
        .y_labels(5)
        .x_label_style(small.clone())
        .y_label_style(small)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&label)
        .draw()?;
    Ok(())
}

fn shade<Y: Ranged<ValueType = f64>>(report: &Report, chart: &mut Chart<'_, '_, Y>, low: f64, high: f64) -> Drawn {
    let trouble = report.scenario.phases.iter().filter(|phase| phase.trouble);
    let boxes = trouble.map(|phase| Rectangle::new([(x(phase.from_s), low), (x(phase.to_s), high)], TROUBLE.filled()));
    chart.draw_series(boxes)?;
    Ok(())
}

/// The names of the phases, where they have room.
fn phases(report: &Report, area: &Area<'_>) -> Drawn {
    let scale = f64::from(WIDTH - LEFT - RIGHT) / x(report.scenario.seconds).max(1.0);
    for phase in &report.scenario.phases {
        let (from, to) = (x(phase.from_s) * scale, x(phase.to_s) * scale);
        if f64::from(width(&phase.name, 12.0)) < to - from {
            #[allow(clippy::cast_possible_truncation, reason = "pixels")]
            let middle = (f64::from(LEFT) + (from + to) / 2.0) as i32;
            write(area, &phase.name, (middle, i32::try_from(NAME + PHASES / 2)?), 12.0, &MUTED, HPos::Center)?;
        }
    }
    Ok(())
}

fn lines<Y: Ranged<ValueType = f64>>(
    report: &Report,
    chart: &mut Chart<'_, '_, Y>,
    value: impl Fn(&SecondReport) -> Option<f64> + Copy,
) -> Drawn {
    for (index, segments) in points(report, value).into_iter().enumerate() {
        for segment in segments {
            chart.draw_series(LineSeries::new(segment, colour(index).mix(0.9).stroke_width(2)))?;
        }
    }
    Ok(())
}

/// The points of each policy's line, in pieces where there is nothing between.
fn points(report: &Report, value: impl Fn(&SecondReport) -> Option<f64> + Copy) -> Vec<Vec<Points>> {
    let lines = report.policies.iter().map(|policy| {
        let mut segments = vec![Points::new()];
        for stretch in stretches(&policy.series) {
            match value(&stretch) {
                Some(value) => {
                    if let Some(segment) = segments.last_mut() {
                        segment.push((x(stretch.at_s) + x(stretch.seconds) / 2.0, value));
                    }
                }
                None => segments.push(Points::new()),
            }
        }
        segments.retain(|segment| !segment.is_empty());
        segments
    });
    lines.collect()
}

/// Neighbours put together until there are about [`POINTS`]. A quantile of several is taken from the slowest.
fn stretches(series: &[SecondReport]) -> Vec<SecondReport> {
    let together = (series.len() as u64).div_ceil(POINTS).max(1);
    let chunks = series.chunks(usize::try_from(together).unwrap_or(usize::MAX));
    let sum = |chunk: &[SecondReport], count: fn(&SecondReport) -> u64| chunk.iter().map(count).sum();
    let merged = chunks.map(|chunk| SecondReport {
        at_s: chunk.first().map_or(0, |first| first.at_s),
        seconds: sum(chunk, |second| second.seconds),
        requests: sum(chunk, |second| second.requests),
        succeeded: sum(chunk, |second| second.succeeded),
        calls: sum(chunk, |second| second.calls),
        attempts: sum(chunk, |second| second.attempts),
        p50_ms: chunk.iter().filter_map(|second| second.p50_ms).max(),
        p99_ms: chunk.iter().filter_map(|second| second.p99_ms).max(),
    });
    merged.collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts of millions")]
fn part(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
