//! A workspace as one document: export, import, dry run.
//!
//! A text becomes a document ([`Syntax`]), the document one of the present format and a [`read_bundle`] against its schema
//! ([`bundle_schema`]), and only then is anything looked up or stored. Secrets are never in it: it names them.

mod format;
mod read;
mod rename;
mod schema;
mod service;
mod text;

pub use format::BUNDLE_FORMAT;
pub use read::{Read, read_bundle};
pub use rename::{Renamed, rename_bundle};
pub use schema::{bundle_schema, bundle_schema_text};
pub use service::{Import, Imported};
pub use text::Syntax;
