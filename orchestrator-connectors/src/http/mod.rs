//! The `http` connector kind: calls any HTTP API under one base URL.
//!
//! A workspace's settings fix where calls go and which credentials they carry; the input of a call chooses method, path
//! below the base, query, headers and body. Besides `request`, settings may name operations of their own (a method and
//! a path with parameters), so that products call `refund` and not a URL.
//!
//! **The one rule:** no input leaves the base URL, and none sets a header that frames, routes or authenticates.

mod access;
pub(crate) mod answer;
mod auth;
mod body;
pub(crate) mod connections;
mod connector;
mod exchange;
pub(crate) mod headers;
mod input;
mod kind;
mod method;
mod oauth2;
mod operation;
pub(crate) mod paging;
pub(crate) mod path;
mod plan;
mod settings;
pub(crate) mod shape;
mod signing;
mod template;

pub use kind::HttpKind;
