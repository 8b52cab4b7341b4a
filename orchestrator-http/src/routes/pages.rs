//! The parameters of lists and of waiting.

use std::time::Duration;

use orchestrator_types::Page;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use crate::extract::Limit;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many items: 1 to 500.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 50)]
    pub(super) limit: Limit,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// How long to wait for what is not there yet: up to 30 s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Duration);

impl Wait {
    const MAX: u64 = 30_000;
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            millis @ 0..=Self::MAX => Ok(Self(Duration::from_millis(millis))),
            _ => Err(D::Error::custom("`wait_ms` is at most 30000")),
        }
    }
}

/// A list that is short enough for one page.
pub(super) fn whole<T>(items: Vec<T>) -> Page<T> {
    Page { items, next_cursor: None }
}
