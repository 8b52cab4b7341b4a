//! Payloads: bodies too large to stand in a document, stored apart and referred to.
//!
//! | part | is |
//! |---|---|
//! | [`PayloadStore`] | the port to a backend: opaque objects by key |
//! | rows ([`PayloadIndex`](crate::store::PayloadIndex)) | what is true of them: size, hash, seal, who names them |
//! | [`Payloads`] | uploading and reading, for callers |
//! | [`PayloadAccess`] | the same for a connector, in the workspace of its call |
//!
//! A payload is counted, hashed and, if its workspace asks for it, sealed while it passes: nothing of it is held but a frame.
//! A payload lives as long as something names it (an execution, a job, an inbox entry), and at least a day.
//!
//! **The one rule:** rows are the truth. The object is written first, its row in the transaction of its owner; what no row
//! names is nobody's, and is removed after a day.

mod access;
mod depot;
mod error;
mod key;
mod memory;
mod names;
mod port;
mod reader;
mod service;
mod spill;
mod sweep;
mod writer;

pub use access::PayloadAccess;
pub use depot::PayloadReader;
pub(crate) use depot::{Depot, reference};
pub use error::PayloadError;
pub use key::{PayloadKey, PayloadScope};
pub use memory::MemoryPayloads;
pub(crate) use names::apart;
pub use port::{Broken, ByteStream, Object, ObjectError, PayloadStore};
pub use reader::PayloadStream;
pub use service::Payloads;
pub(crate) use spill::check_named;
pub(crate) use sweep::sweep;
