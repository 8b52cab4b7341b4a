//! Rows and what they mean. A row that cannot be understood is an [`Unreadable`], never a panic and never a guess.

use std::fmt;
use std::str::FromStr;

use orchestrator_core::store::StoreError;
use orchestrator_core::types::{Timestamp, TraceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;

use crate::failure::Failure;
use crate::text::restored;

/// A stored value that means nothing to this version: written by a newer one, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Where it stands.
    pub(crate) column: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the value of `{}`", self.column)
    }
}

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Corrupt(unreadable.to_string())
    }
}

/// A value as the driver reads it.
pub(crate) fn value<'r, T>(row: &'r PgRow, column: &'static str) -> Result<T, Unreadable>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|_| Unreadable { column })
}

/// A number that fits where it belongs.
pub(crate) fn number<N: TryFrom<i64>>(row: &PgRow, column: &'static str) -> Result<N, Unreadable> {
    N::try_from(value::<i64>(row, column)?).map_err(|_| Unreadable { column })
}

/// Whose row it is: the place of a caller in its batch, from 0.
pub(crate) fn place(row: &PgRow) -> Result<usize, Unreadable> {
    usize::try_from(value::<i64>(row, "op")? - 1).map_err(|_| Unreadable { column: "op" })
}

/// A time.
pub(crate) fn time(row: &PgRow, column: &'static str) -> Result<Timestamp, Unreadable> {
    value(row, column).map(Timestamp::from_unix_ms)
}

/// A time, if there is one.
pub(crate) fn time_opt(row: &PgRow, column: &'static str) -> Result<Option<Timestamp>, Unreadable> {
    Ok(value::<Option<i64>>(row, column)?.map(Timestamp::from_unix_ms))
}

/// The bits of an id.
pub(crate) fn bits(row: &PgRow, column: &'static str) -> Result<u128, Unreadable> {
    value::<Uuid>(row, column).map(|id| id.as_u128())
}

/// The bits of an id, if there is one.
pub(crate) fn bits_opt(row: &PgRow, column: &'static str) -> Result<Option<u128>, Unreadable> {
    Ok(value::<Option<Uuid>>(row, column)?.map(|id| id.as_u128()))
}

/// A free text.
pub(crate) fn text(row: &PgRow, column: &'static str) -> Result<String, Unreadable> {
    value::<&str>(row, column).map(restored)
}

/// A free text, if there is one.
pub(crate) fn text_opt(row: &PgRow, column: &'static str) -> Result<Option<String>, Unreadable> {
    Ok(value::<Option<&str>>(row, column)?.map(restored))
}

/// A SHA-256.
pub(crate) fn hash(row: &PgRow, column: &'static str) -> Result<[u8; 32], Unreadable> {
    value::<&[u8]>(row, column)?.try_into().map_err(|_| Unreadable { column })
}

/// A trace.
pub(crate) fn trace(row: &PgRow, column: &'static str) -> Result<TraceId, Unreadable> {
    bits(row, column).map(TraceId::from_bits)
}

/// A name, or whatever is parsed.
pub(crate) fn parsed<T: FromStr>(row: &PgRow, column: &'static str) -> Result<T, Unreadable> {
    value::<&str>(row, column)?.parse().map_err(|_| Unreadable { column })
}

/// A name, if there is one.
pub(crate) fn parsed_opt<T: FromStr>(row: &PgRow, column: &'static str) -> Result<Option<T>, Unreadable> {
    match value::<Option<&str>>(row, column)? {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Unreadable { column }),
    }
}

/// A JSON document.
pub(crate) fn document<T: DeserializeOwned>(row: &PgRow, column: &'static str) -> Result<T, Unreadable> {
    serde_json::from_str(value(row, column)?).map_err(|_| Unreadable { column })
}

/// A JSON document, if there is one.
pub(crate) fn document_opt<T: DeserializeOwned>(row: &PgRow, column: &'static str) -> Result<Option<T>, Unreadable> {
    match value::<Option<&str>>(row, column)? {
        None => Ok(None),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|_| Unreadable { column }),
    }
}

/// Reads each row by itself. What cannot be read is told and left out, so that it does not hide the rest.
pub(crate) fn readable<T>(rows: &[PgRow], read: impl Fn(&PgRow) -> Result<T, Unreadable>) -> Vec<T> {
    rows.iter()
        .filter_map(|row| match read(row) {
            Ok(item) => Some(item),
            Err(unreadable) => {
                tracing::error!(column = unreadable.column, "a stored row cannot be read and is left out");
                None
            }
        })
        .collect()
}

/// An id as it is stored.
pub(crate) const fn id(bits: u128) -> Uuid {
    Uuid::from_u128(bits)
}

/// Where a list that runs backwards begins: below `before`, or from the highest id.
pub(crate) fn below(before: Option<u128>) -> Uuid {
    before.map_or(Uuid::max(), Uuid::from_u128)
}

/// A count as a bound parameter.
pub(crate) fn int(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// A document as it is stored.
pub(crate) fn to_json(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map_err(|_| Failure::Refused("a value cannot be written as JSON".to_owned()))
}
