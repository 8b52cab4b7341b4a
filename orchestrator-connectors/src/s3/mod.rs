//! The `s3` connector kind: objects in one bucket of an S3-compatible store.
//!
//! A workspace's settings name bucket, region and endpoint; the input of a call names a key. `object_store` signs, writes
//! and reads what S3 speaks; each of its requests leaves through the egress guard.
//!
//! **The one rule:** a call is one attempt: `object_store` repeats nothing, and what the store answered is told by what was
//! seen on the way, not by what a library made of it.

mod connector;
mod content;
mod failure;
mod guarded;
mod input;
mod key;
mod kind;
mod object;
mod output;
mod settings;
mod upload;

pub use kind::S3Kind;
