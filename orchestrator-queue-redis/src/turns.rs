//! Whose turn it is among shards: each gives in proportion to what its workspaces weigh, and what a share is short of is owed.

use std::time::Duration;

use orchestrator_core::queue::JobHint;

/// What a shard answered.
#[derive(Debug)]
pub(crate) struct Popped {
    /// Until the next time comes.
    pub(crate) next: Option<Duration>,
    /// What the workspaces weigh that have more.
    pub(crate) weight: u64,
    pub(crate) hints: Vec<JobHint>,
}

/// What is known of the shards, and what each is owed.
#[derive(Debug)]
pub(crate) struct Turns {
    weights: Vec<u64>,
    owed: Vec<f64>,
}

impl Turns {
    pub(crate) fn of(shards: usize) -> Self {
        Self { weights: vec![0; shards], owed: vec![0.0; shards] }
    }

    /// How many of `max` each is to give: nothing, if it had nothing when it was last asked. It is asked all the same, and known
    /// from then on.
    pub(crate) fn shares(&mut self, max: usize) -> Vec<usize> {
        if self.weights.len() == 1 {
            return vec![max];
        }
        let all = self.weights.iter().sum::<u64>();
        let mut shares = vec![0; self.weights.len()];
        if all == 0 {
            return shares;
        }
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        for (owed, weight) in self.owed.iter_mut().zip(&self.weights) {
            // Who has nothing is owed nothing, and nobody more than a take.
            *owed = if *weight == 0 { 0.0 } else { *owed + max as f64 * *weight as f64 / all as f64 };
            *owed = owed.clamp(-(max as f64), 2.0 * max as f64);
        }
        for _ in 0..max {
            let with_some = (0..shares.len()).filter(|at| self.weights[*at] > 0);
            let Some(next) = with_some.max_by(|one, other| self.owed[*one].total_cmp(&self.owed[*other])) else {
                break;
            };
            shares[next] += 1;
            self.owed[next] -= 1.0;
        }
        shares
    }

    /// Notes what each has now.
    pub(crate) fn learn(&mut self, popped: &[Popped]) {
        self.weights = popped.iter().map(|popped| popped.weight).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(weights: &[u64]) -> Vec<Popped> {
        weights.iter().map(|weight| Popped { next: None, weight: *weight, hints: Vec::new() }).collect()
    }

    #[test]
    fn inv_14_shards_give_by_what_their_workspaces_weigh() {
        let mut turns = Turns::of(4);
        assert_eq!(turns.shares(8), [0; 4], "nothing is known yet");
        turns.learn(&popped(&[3, 1, 0, 0]));
        assert_eq!(turns.shares(8), [6, 2, 0, 0]);
        let mut given = [0; 4];
        for _ in 0..400 {
            for (given, share) in given.iter_mut().zip(turns.shares(1)) {
                *given += share;
            }
        }
        assert!((299..=301).contains(&given[0]) && given[0] + given[1] == 400, "{given:?}");
    }
}
