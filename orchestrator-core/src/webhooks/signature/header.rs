//! Reading headers strictly: what stands twice is refused, not chosen from.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{EventError, FixtureError, SignatureError};
use crate::callback::signing::SigningError;

/// No header that we read is longer.
pub(super) const VALUE_MAX: usize = 4_096;
/// No id, type or account is longer.
pub(super) const FACT_MAX: usize = 255;

/// The header's one value.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::Missing)?;
    if values.next().is_some() {
        return Err(SignatureError::Repeated);
    }
    if value.len() > VALUE_MAX {
        return Err(SignatureError::TooLong);
    }
    value.to_str().map_err(|_| SignatureError::Malformed)
}

/// A fact that a header tells; `None` without that header.
pub(super) fn fact(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, EventError> {
    match one(headers, name) {
        Ok(text) => checked(text).map(Some),
        Err(SignatureError::Missing) => Ok(None),
        Err(_) => Err(EventError::Malformed),
    }
}

/// A text that is short and shows what it is.
pub(super) fn checked(text: &str) -> Result<String, EventError> {
    let fine = (1..=FACT_MAX).contains(&text.len()) && !text.chars().any(char::is_control) && text.trim() == text;
    if fine { Ok(text.to_owned()) } else { Err(EventError::Malformed) }
}

/// Headers of these values.
pub(super) fn map<const N: usize>(values: [(HeaderName, &str); N]) -> Result<HeaderMap, FixtureError> {
    let mut headers = HeaderMap::with_capacity(N);
    for (name, value) in values {
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| SigningError::Header)?);
    }
    Ok(headers)
}
