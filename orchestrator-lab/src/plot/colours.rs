//! The colours: apart from each other for those who see few, after Okabe and Ito.

use plotters::style::{RGBAColor, RGBColor};

const POLICIES: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 60),
    RGBColor(100, 100, 100),
];

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(34, 38, 46);
/// What stands beside.
pub(super) const MUTED: RGBColor = RGBColor(104, 110, 120);
/// The lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(228, 231, 235);
/// Where the trouble is.
pub(super) const TROUBLE: RGBAColor = RGBAColor(213, 94, 0, 0.11);

/// The colour of the policy with this number.
pub(super) fn colour(index: usize) -> RGBColor {
    POLICIES[index % POLICIES.len()]
}
