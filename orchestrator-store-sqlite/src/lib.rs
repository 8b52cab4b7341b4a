//! The embedded store: everything durable in one SQLite file.
