//! How long it took until all was well again after the trouble had ended: pure.

use super::Second;

/// So many seconds are looked at together, so that one unlucky request is no relapse.
const WINDOW: usize = 5;
/// The share of the success there was before the trouble that counts as well.
const WELL: f64 = 0.95;

/// The seconds from the end of the trouble until the success rate is back for good at 95 % of what it was before;
/// nothing if it is not until the end.
///
/// `trouble` is the second in which the first trouble begins, `end` that after the last. There must be seconds after it.
pub(crate) fn recovered_after(seconds: &[Second], trouble: usize, end: usize) -> Option<u64> {
    let before = success(seconds.get(..trouble)?).unwrap_or(1.0);
    let after = seconds.get(end..).filter(|after| !after.is_empty())?;
    let ill = |window: &[Second]| success(window).is_some_and(|ratio| ratio < before * WELL);
    let Some(last) = after.windows(WINDOW.min(after.len())).rposition(ill) else { return Some(0) };
    // The window that begins after the last ill one is well, and so are all that follow.
    let well = last + 1;
    (well + WINDOW <= after.len()).then_some(well as u64)
}

/// The share of the requests that succeeded; nothing if there were none.
fn success(seconds: &[Second]) -> Option<f64> {
    let requests: u64 = seconds.iter().map(|second| u64::from(second.requests)).sum();
    let succeeded: u64 = seconds.iter().map(|second| u64::from(second.succeeded)).sum();
    #[allow(clippy::cast_precision_loss, reason = "fifty million at most")]
    (requests > 0).then(|| succeeded as f64 / requests as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten requests a second, of which so many succeed.
    fn history(succeeded: &[u32]) -> Vec<Second> {
        succeeded.iter().map(|succeeded| Second { requests: 10, succeeded: *succeeded, ..Second::default() }).collect()
    }

    #[test]
    fn it_counts_from_the_end_of_the_trouble_to_the_last_relapse() {
        let mut succeeded = vec![10; 5];
        succeeded.extend([0; 5]);
        let end = succeeded.len();
        succeeded.extend([0, 0, 10, 10, 10, 10, 10, 0, 10, 10, 10, 10, 10, 10]);
        assert_eq!(recovered_after(&history(&succeeded), 5, end), Some(8));
    }

    #[test]
    fn at_once_is_zero_and_not_until_the_end_is_never() {
        let well = history(&[10; 20]);
        assert_eq!(recovered_after(&well, 5, 10), Some(0));
        let ill = history(&[&[10; 5][..], &[0; 15]].concat());
        assert_eq!(recovered_after(&ill, 5, 10), None);
        let relapsed = history(&[&[10; 18][..], &[0; 2]].concat());
        assert_eq!(recovered_after(&relapsed, 5, 10), None);
    }

    #[test]
    fn what_was_refused_before_the_trouble_as_well_is_not_missed() {
        assert_eq!(recovered_after(&history(&[5; 20]), 5, 10), Some(0));
        // Nobody asks, so nobody is failed.
        assert_eq!(recovered_after(&[Second::default(); 20], 5, 10), Some(0));
    }
}
