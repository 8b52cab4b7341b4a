//! A plot of the goals: how much of each was reached.

use std::fmt::Write as _;

use orchestrator_benches::AnyError;

const ROW: usize = 26;
const LABELS: usize = 380;
/// So wide is what is wanted.
const WANTED: f64 = 240.0;
/// No bar is longer than so many times what is wanted.
const MOST: f64 = 2.0;

/// A figure beside what was wanted of it.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) told: String,
    /// How much of what was wanted: 1 is all of it.
    pub(crate) share: f64,
}

/// Bars: as long as the line is what was wanted, longer is better.
pub(crate) fn bars(bars: &[Bar]) -> Result<String, AnyError> {
    let height = ROW * bars.len() + 50;
    let line = LABELS as f64 + WANTED;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"960\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{line}\" y=\"20\" text-anchor=\"middle\" fill=\"#444\">wanted</text>\n"
    );
    for (place, bar) in bars.iter().enumerate() {
        let length = if bar.share.is_finite() { bar.share.clamp(0.0, MOST) * WANTED } else { 0.0 };
        let (top, colour) = (30 + place * ROW, if bar.share >= 1.0 { "#2a7a4b" } else { "#b5532b" });
        let middle = top + 14;
        writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>", LABELS - 10, escaped(&bar.name))?;
        writeln!(svg, "<rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.0}\" height=\"18\" fill=\"{colour}\"/>")?;
        let end = LABELS as f64 + length + 8.0;
        writeln!(svg, "<text x=\"{end:.0}\" y=\"{middle}\" fill=\"#444\">{}</text>", escaped(&bar.told))?;
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
