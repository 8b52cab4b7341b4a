//! Complete programs that the tests run.
