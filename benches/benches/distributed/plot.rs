//! A plot of the goals: how much of each was reached.

use std::fmt::Write as _;

use orchestrator_benches::AnyError;

use crate::goals::Goal;

const ROW: usize = 26;
const LABELS: usize = 380;
/// So wide is what is wanted.
const WANTED: f64 = 240.0;
/// No bar is longer than so many times what is wanted.
const MOST: f64 = 2.0;

/// Bars: as long as the line is what was wanted, longer is better.
pub(crate) fn bars(goals: &[Goal]) -> Result<String, AnyError> {
    let height = ROW * goals.len() + 50;
    let line = LABELS as f64 + WANTED;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"960\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{line}\" y=\"20\" text-anchor=\"middle\" fill=\"#444\">wanted</text>\n"
    );
    for (place, goal) in goals.iter().enumerate() {
        let share = if goal.upwards { goal.reached() / goal.wanted } else { goal.wanted / goal.reached() };
        let length = if share.is_finite() { share.clamp(0.0, MOST) * WANTED } else { 0.0 };
        let (top, colour) = (30 + place * ROW, if goal.is_met() { "#2a7a4b" } else { "#b5532b" });
        let middle = top + 14;
        writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>", LABELS - 10, escaped(&goal.name))?;
        writeln!(svg, "<rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.0}\" height=\"18\" fill=\"{colour}\"/>")?;
        let sign = if goal.upwards { "≥" } else { "≤" };
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{middle}\" fill=\"#444\">{:.2} ({sign} {})</text>",
            LABELS as f64 + length + 8.0,
            goal.reached(),
            goal.wanted
        )?;
    }
    writeln!(
        svg,
        "<line x1=\"{line}\" y1=\"26\" x2=\"{line}\" y2=\"{}\" stroke=\"#444\" stroke-dasharray=\"3 3\"/>\n</svg>",
        height - 14
    )?;
    Ok(svg)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
