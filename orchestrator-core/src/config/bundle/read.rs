//! From a document to a bundle: its format, its schema, its types; everything that is wrong at once.

use orchestrator_types::{Bundle, FieldError};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::format::migrate;
use super::schema::problems;
use super::text::escaped;
use crate::error::Error;

/// A bundle that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The bundle.
    pub bundle: Bundle,
    /// The format that its document had, if that was a former one.
    pub former_format: Option<u32>,
}

/// Reads a bundle of this format or a former one.
///
/// # Errors
/// It is of a newer format, or breaks the schema: every problem, with its pointer.
pub fn read_bundle(document: Value) -> Result<Read, Error> {
    let (document, former_format) = migrate(document).map_err(|problem| Error::InvalidRequest(vec![problem]))?;
    let broken = problems(&document);
    if !broken.is_empty() {
        return Err(Error::InvalidRequest(broken));
    }
    // What a schema does not say, as how large a number may be, the types do.
    let bundle = serde_path_to_error::deserialize(document).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path().iter() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } | Segment::Enum { variant: key } => pointer.push_str(&escaped(key)),
                Segment::Unknown => {}
            }
        }
        Error::InvalidRequest(vec![FieldError::new(pointer, error.inner().to_string())])
    })?;
    Ok(Read { bundle, former_format })
}
