//! One look at the clock for all layers that a call passes on its way in.
//!
//! On the way in every layer decides within the same few hundred nanoseconds, on the same thread, before anything is sent;
//! a look at the clock costs a tenth of that each. The outermost layer opens a [`Section`], and within it the time stands
//! still. What is decided later, when an answer has come, looks anew.

use std::cell::Cell;

use tokio::time::Instant;

#[derive(Clone, Copy)]
enum Moment {
    /// Nobody shares: each look is a look.
    Alone,
    /// The first one who asks looks.
    Shared(Option<Instant>),
}

thread_local! {
    static MOMENT: Cell<Moment> = const { Cell::new(Moment::Alone) };
}

/// Now; in a section, when the section first asked.
#[inline]
pub(crate) fn now() -> Instant {
    MOMENT.with(|moment| match moment.get() {
        Moment::Alone => Instant::now(),
        Moment::Shared(Some(now)) => now,
        Moment::Shared(None) => {
            let now = Instant::now();
            moment.set(Moment::Shared(Some(now)));
            now
        }
    })
}

/// While it lives the time stands still for this thread. It must not live across an await.
pub(crate) struct Section {
    outer: Moment,
}

impl Section {
    /// Opens a section; within another one it is a part of that.
    #[inline]
    pub(crate) fn open() -> Self {
        MOMENT.with(|moment| {
            let outer = moment.get();
            if matches!(outer, Moment::Alone) {
                moment.set(Moment::Shared(None));
            }
            Self { outer }
        })
    }

    /// Ends it for what is called from within, which may take long or wait for something.
    #[inline]
    pub(crate) fn suspend() -> Self {
        MOMENT.with(|moment| Self { outer: moment.replace(Moment::Alone) })
    }
}

impl Drop for Section {
    #[inline]
    fn drop(&mut self) {
        MOMENT.with(|moment| match (self.outer, moment.get()) {
            // What the inner one looked at is good for the outer one too.
            (Moment::Shared(None), looked @ Moment::Shared(Some(_))) => moment.set(looked),
            (outer, _) => moment.set(outer),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn in_a_section_the_time_stands_still_and_after_it_goes_on() {
        let before = now();
        {
            let _section = Section::open();
            tokio::time::advance(Duration::from_secs(1)).await;
            let looked = now();
            assert_eq!(looked - before, Duration::from_secs(1));
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(now(), looked);
            {
                let _inner = Section::open();
                assert_eq!(now(), looked);
            }
            {
                let _service = Section::suspend();
                assert_eq!(now() - looked, Duration::from_secs(1));
            }
            assert_eq!(now(), looked);
        }
        assert_eq!(now() - before, Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_inner_section_looked_at_is_the_outer_ones_too() {
        let _section = Section::open();
        let looked = {
            let _inner = Section::open();
            now()
        };
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(now(), looked);
    }
}
