//! A report as an SVG: success, load, latency and breakers over time, a colour a policy, with the trouble shaded.

mod colours;
mod panels;
mod strips;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::Report;

use colours::{INK, MUTED, colour};

const WIDTH: u32 = 1_180;
const HEAD: u32 = 92;
const FIRST_PANEL: u32 = 232;
const PANEL: u32 = 212;
const STRIP: u32 = 26;
const STRIPS_HEAD: u32 = 36;
const FOOT: u32 = 52;
/// What every panel leaves free on its left and on its right, so that their times stand below each other.
const LEFT: u32 = 84;
const RIGHT: u32 = 28;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing into a text can fail with.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The report as an SVG document. The same report gives the same document. Nothing is drawn if there is nothing to tell.
pub fn plot(report: &Report) -> String {
    let mut svg = String::new();
    if draw(report, &mut svg).is_err() {
        svg.clear();
    }
    svg
}

fn draw(report: &Report, svg: &mut String) -> Drawn {
    let policies = u32::try_from(report.policies.len())?;
    let strips = STRIPS_HEAD + policies * STRIP + FOOT;
    let root = SVGBackend::with_string(svg, (WIDTH, HEAD + FIRST_PANEL + 2 * PANEL + strips)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(HEAD);
    let (success, rest) = rest.split_vertically(FIRST_PANEL);
    let (load, rest) = rest.split_vertically(PANEL);
    let (latency, strips) = rest.split_vertically(PANEL);
    title(report, &head)?;
    panels::success(report, &success)?;
    panels::load(report, &load)?;
    panels::latency(report, &latency)?;
    strips::breakers(report, &strips)?;
    root.present()?;
    Ok(())
}

/// The name, the sentence and the legend.
fn title(report: &Report, area: &Area<'_>) -> Drawn {
    let scenario = &report.scenario;
    write(area, &scenario.name, (24, 26), 24.0, &INK, HPos::Left)?;
    write(area, &shortened(&scenario.about, 170), (24, 52), 14.0, &MUTED, HPos::Left)?;
    let mut right = 24;
    for (index, policy) in report.policies.iter().enumerate() {
        let name = shortened(&policy.name, 40);
        area.draw(&Rectangle::new([(right, 71), (right + 22, 77)], colour(index).filled()))?;
        write(area, &name, (right + 30, 75), 15.0, &INK, HPos::Left)?;
        right += 30 + width(&name, 15.0) + 26;
    }
    area.draw(&Rectangle::new([(right, 64), (right + 22, 84)], colours::TROUBLE.filled()))?;
    write(area, "trouble", (right + 30, 75), 15.0, &INK, HPos::Left)?;
    let seed = format!("seed {}", scenario.seed);
    write(area, &seed, (i32::try_from(WIDTH - RIGHT)?, 26), 14.0, &MUTED, HPos::Right)
}

/// Writes a line of text, whose middle is at this height.
fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: f64, colour: &RGBColor, anchor: HPos) -> Drawn {
    let style = TextStyle::from(("sans-serif", size).into_font()).color(colour).pos(Pos::new(anchor, VPos::Center));
    area.draw_text(text, &style, at)?;
    Ok(())
}

/// About how wide a text is: there is no font to ask.
fn width(text: &str, size: f64) -> i32 {
    let letters = i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
    #[allow(clippy::cast_possible_truncation, reason = "pixels")]
    let letter = (size * 0.55).ceil() as i32;
    letters.saturating_mul(letter)
}

fn shortened(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Seconds as a coordinate.
#[allow(clippy::cast_precision_loss, reason = "seconds of a day")]
fn x(seconds: u64) -> f64 {
    seconds as f64
}
