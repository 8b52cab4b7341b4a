//! The layer of [`Retry`].

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::RetryPolicy;
use tower::Layer;

use super::state::Plan;
use super::{Budget, Retry};
use crate::policy::backoff::{Exponential, Schedule};
use crate::policy::observe::NoObserver;

/// Makes a failed call again.
#[derive(Debug)]
pub struct RetryLayer<C, O = NoObserver, B = Exponential> {
    plan: Arc<Plan<B>>,
    classify: C,
    observer: O,
}

impl<C> RetryLayer<C> {
    /// Retries as `policy` says, within `budget`; `classify` tells what is a failure.
    pub fn new(policy: &RetryPolicy, budget: Arc<Budget>, classify: C) -> Self {
        let plan = Plan {
            max_attempts: policy.max_attempts,
            schedule: Exponential::from(policy),
            non_idempotent: policy.non_idempotent,
            total: None,
            budget,
        };
        Self { plan: Arc::new(plan), classify, observer: NoObserver }
    }

    /// Makes at most `attempts` attempts in all, within `budget`, with the waits of a policy without numbers; `classify` tells
    /// what is a failure.
    pub fn attempts(attempts: u32, budget: Arc<Budget>, classify: C) -> Self {
        Self::new(&RetryPolicy { max_attempts: attempts, ..RetryPolicy::default() }, budget, classify)
    }

    /// Makes each call once. Attempts are told to the observer, and calls earn `budget`, as with retries.
    pub fn never(budget: Arc<Budget>, classify: C) -> Self {
        Self::new(&RetryPolicy { max_attempts: 1, ..RetryPolicy::default() }, budget, classify)
    }
}

impl<C, O, B> RetryLayer<C, O, B> {
    /// Waits by another schedule.
    pub fn scheduled_by<D: Schedule>(self, schedule: D) -> RetryLayer<C, O, D> {
        let plan = Plan {
            max_attempts: self.plan.max_attempts,
            schedule,
            non_idempotent: self.plan.non_idempotent,
            total: self.plan.total,
            budget: Arc::clone(&self.plan.budget),
        };
        RetryLayer { plan: Arc::new(plan), classify: self.classify, observer: self.observer }
    }

    /// Gives up rather than wait past a total deadline of `total`, which a layer around this one enforces.
    #[must_use]
    pub fn within(self, total: Duration) -> Self
    where
        B: Clone,
    {
        let plan = Plan {
            max_attempts: self.plan.max_attempts,
            schedule: self.plan.schedule.clone(),
            non_idempotent: self.plan.non_idempotent,
            total: Some(total),
            budget: Arc::clone(&self.plan.budget),
        };
        Self { plan: Arc::new(plan), ..self }
    }

    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> RetryLayer<C, P, B> {
        RetryLayer { plan: self.plan, classify: self.classify, observer }
    }
}

impl<C: Clone, O: Clone, B> Clone for RetryLayer<C, O, B> {
    fn clone(&self) -> Self {
        Self { plan: Arc::clone(&self.plan), classify: self.classify.clone(), observer: self.observer.clone() }
    }
}

impl<S, C: Clone, O: Clone, B> Layer<S> for RetryLayer<C, O, B> {
    type Service = Retry<S, C, O, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry { inner, plan: Arc::clone(&self.plan), classify: self.classify.clone(), observer: self.observer.clone() }
    }
}
