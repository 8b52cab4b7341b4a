//! A call that is dropped leaves nothing: deadlines and callers that go away end calls by dropping them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::fixture::{connector, context, samples, soon, told};
use super::{ConnectorHarness, Told};

/// Polls that a call is given before it is dropped.
const POLLS: usize = 12;

/// A call that hangs and is dropped is no longer held upstream, and the next one is served.
pub async fn inv_22_a_dropped_call_leaves_nothing(harness: &impl ConnectorHarness) {
    for sample in samples(harness) {
        told(harness, Told::Hang).await;
        let connector = connector(harness);
        {
            let context = context("exe_1");
            let call = connector.call(&context, sample.operation, &sample.input);
            tokio::select! {
                outcome = call => panic!("nobody answered it: {outcome:?}"),
                () = soon("the upstream holds the call", harness.until_held(1)) => {}
            }
        }
        soon("the upstream lost the call", harness.until_held(0)).await;
        told(harness, Told::Succeed).await;
        let again = self::connector(harness);
        let outcome = again.call(&context("exe_2"), sample.operation, &sample.input).await;
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// Wherever a call stands when it is dropped, nothing of it goes on.
pub async fn inv_22_a_call_dropped_after_any_poll_leaves_nothing(harness: &impl ConnectorHarness) {
    for sample in samples(harness) {
        told(harness, Told::Hang).await;
        let connector = connector(harness);
        for polls in 0..POLLS {
            let context = context("exe_1");
            let mut call = pin!(connector.call(&context, sample.operation, &sample.input));
            for _ in 0..polls {
                let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "nobody answered it");
                // What the call waits for may come about meanwhile.
                tokio::task::yield_now().await;
            }
        }
        soon("the upstream lost the calls", harness.until_held(0)).await;
    }
}
