//! What the lab refuses.

use orchestrator_types::FieldError;

/// Why nothing was simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No built-in scenario has this name.
    #[error("there is no scenario `{name}`; the built-in ones are {}", list(known))]
    UnknownScenario {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A document has no policy of this name.
    #[error("there is no policy `{name}`; there is {}", list(known))]
    UnknownPolicy {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A document holds several policies, and none was chosen.
    #[error("it holds several policies, choose one by #NAME: {}", list(known))]
    WhichPolicy {
        /// What there is.
        known: Vec<String>,
    },
    /// A document is not what it should be.
    #[error("{what} is refused{}", told(errors))]
    Invalid {
        /// Which document.
        what: String,
        /// What is wrong with it, and where.
        errors: Vec<FieldError>,
    },
    /// The simulation would not fit.
    #[error("{0}")]
    TooLarge(String),
    /// The simulation could not be run.
    #[error("the simulation ended early: {0}")]
    Broken(String),
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

fn told(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("; {}: {}", error.pointer, error.detail)).collect()
}
