//! Payload stores: where large bodies lie.
//!
//! | module | keeps them |
//! |---|---|
//! | [`folder`] | in a folder of this machine, or one that nodes share |
//! | [`s3`] | in a bucket of S3, or of a service that speaks as it does |
//!
//! One rule: an object is there whole and durably, or it is not there.

pub mod folder;
pub mod s3;
