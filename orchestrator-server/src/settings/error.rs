//! Why the settings stop the start: one line.

use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// A flag of the command.
    Flag,
    /// An environment variable.
    Variable(String),
    /// The settings file.
    File(PathBuf),
    /// Nobody set it.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => out.write_str("given by a flag"),
            Self::Variable(name) => write!(out, "from the environment variable {name}"),
            Self::File(path) => write!(out, "from {}", path.display()),
            Self::Default => out.write_str("its default"),
        }
    }
}

/// Why the settings cannot be used. The message is one line, and shows no value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("`{setting}` ({from}) is no setting of this server")]
    Unknown {
        /// As it was named.
        setting: String,
        /// Where.
        from: SettingSource,
    },
    /// The setting cannot work.
    #[error("the setting `{setting}` ({from}) cannot work: {problem}")]
    Unusable {
        /// Its name.
        setting: String,
        /// Where it came from.
        from: SettingSource,
        /// What to change.
        problem: String,
    },
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A variable cannot be read.
    #[error("the environment variable {variable} is no text")]
    Variable {
        /// Its name.
        variable: String,
    },
}
