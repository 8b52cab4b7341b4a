//! The reference binary: one composition of the engine, its stores and its HTTP face.
//!
//! [`Server`] is the whole binary as a value, to which connector kinds of one's own are added.
//! [`compose::start`] puts a server together from [`Settings`]; the command line, the demo and the tests all stand on it.

pub mod cli;
pub mod compose;
pub mod demo;
pub mod keys;
pub mod roles;
pub mod settings;

mod doctor;
mod logging;
mod server;
mod stores;

pub use roles::Roles;
pub use server::Server;
pub use settings::Settings;
