//! The upstream's workers and the queue before them, first come first served: pure.
//!
//! Who has come does not go again, so the moment at which a request is done is known when it arrives, and the queue needs
//! no events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Workers, in nanoseconds since the start.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// When each worker is free; absent if there is any number of them.
    workers: Option<BinaryHeap<Reverse<u64>>>,
    backlog: usize,
    /// When the work on each of those who wait begins, in order.
    begins: VecDeque<u64>,
}

impl Queue {
    /// From now on there are so many workers, and so many may wait. Whoever waits already keeps the moment of its turn;
    /// workers that leave finish what they have.
    pub(crate) fn resize(&mut self, workers: Option<u32>, backlog: u32, now: u64) {
        self.backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
        let Some(count) = workers.and_then(|count| usize::try_from(count).ok()) else {
            self.workers = None;
            return;
        };
        let mut free = self.workers.take().map(BinaryHeap::into_vec).unwrap_or_default();
        // Those that are free first are let go first: what is queued was promised to the others.
        free.sort_unstable();
        free.truncate(count);
        free.resize(count, Reverse(now));
        self.workers = Some(free.into());
    }

    /// When a request that comes now and takes `work` is done; nothing if it is refused.
    pub(crate) fn admit(&mut self, now: u64, work: u64) -> Option<u64> {
        let Some(workers) = &mut self.workers else { return Some(now.saturating_add(work)) };
        while self.begins.front().is_some_and(|begins| *begins <= now) {
            self.begins.pop_front();
        }
        let mut first = workers.peek_mut()?;
        let begins = first.0.max(now);
        if begins > now {
            if self.begins.len() >= self.backlog {
                return None;
            }
            self.begins.push_back(begins);
        }
        let done = begins.saturating_add(work);
        *first = Reverse(done);
        Some(done)
    }

    /// How many waited when the last one came.
    pub(crate) fn waiting(&self) -> usize {
        self.begins.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(workers: u32, backlog: u32) -> Queue {
        let mut queue = Queue::default();
        queue.resize(Some(workers), backlog, 0);
        queue
    }

    #[test]
    fn who_comes_first_is_served_first() {
        let mut queue = queue(2, 10);
        let done: Vec<_> = (0..5).map(|_| queue.admit(0, 10)).collect();
        assert_eq!(done, [Some(10), Some(10), Some(20), Some(20), Some(30)]);
        assert_eq!(queue.waiting(), 3);
    }

    #[test]
    fn a_full_backlog_refuses_until_somebody_moved_up() {
        let mut queue = queue(1, 1);
        assert_eq!((queue.admit(0, 10), queue.admit(1, 10), queue.admit(2, 10)), (Some(10), Some(20), None));
        assert_eq!(queue.admit(10, 10), Some(30));
    }

    #[test]
    fn fewer_workers_keep_what_they_promised() {
        let mut queue = queue(2, 10);
        (0..4).for_each(|_| assert!(queue.admit(0, 10).is_some()));
        queue.resize(Some(1), 10, 5);
        assert_eq!(queue.admit(5, 10), Some(30));
        queue.resize(Some(3), 10, 6);
        assert_eq!(queue.admit(6, 10), Some(16));
        queue.resize(None, 0, 7);
        assert_eq!(queue.admit(7, 10), Some(17));
    }

    proptest! {
        // However requests come: no more are worked on at once than there are workers, and none waits while one is free.
        #[test]
        fn it_works_on_as_many_as_it_has_workers(
            workers in 1_u32..5,
            arrivals in proptest::collection::vec((0_u64..20, 1_u64..30), 1..100),
        ) {
            let mut queue = queue(workers, u32::MAX);
            let (mut now, mut spans) = (0, Vec::new());
            for (gap, work) in arrivals {
                now += gap;
                let done = queue.admit(now, work).unwrap_or(0);
                spans.push((now, done - work, done));
            }
            for (index, (came, begins, _)) in spans.iter().enumerate() {
                let busy = |at: u64| spans[..index].iter().filter(|(_, from, to)| *from <= at && at < *to).count();
                prop_assert!(busy(*begins) < workers as usize);
                prop_assert!(came == begins || busy(begins - 1) == workers as usize);
            }
        }
    }
}
