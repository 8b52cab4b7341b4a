//! The layer of [`Hedge`].

use std::sync::Arc;

use tower::Layer;

use super::{Hedge, Hedging};
use crate::policy::observe::NoObserver;
use crate::policy::retry::Budget;

/// Sends a second attempt beside one that takes long.
#[derive(Debug, Clone)]
pub struct HedgeLayer<C, O = NoObserver> {
    hedging: Option<Arc<Hedging>>,
    budget: Arc<Budget>,
    classify: C,
    observer: O,
}

impl<C> HedgeLayer<C> {
    /// Calls share `hedging` and pay from `budget`; `classify` tells what is a success. Without a `hedging` (`None`) nothing
    /// is hedged.
    pub fn new(hedging: impl Into<Option<Arc<Hedging>>>, budget: Arc<Budget>, classify: C) -> Self {
        Self { hedging: hedging.into(), budget, classify, observer: NoObserver }
    }
}

impl<C, O> HedgeLayer<C, O> {
    /// Reports to `observer`.
    pub fn observed_by<P>(self, observer: P) -> HedgeLayer<C, P> {
        HedgeLayer { hedging: self.hedging, budget: self.budget, classify: self.classify, observer }
    }
}

impl<S, C: Clone, O: Clone> Layer<S> for HedgeLayer<C, O> {
    type Service = Hedge<S, C, O>;

    fn layer(&self, inner: S) -> Self::Service {
        let hedging = self.hedging.as_ref().map(|hedging| (Arc::clone(hedging), Arc::clone(&self.budget)));
        Hedge { inner, hedging, classify: self.classify.clone(), observer: self.observer.clone() }
    }
}
