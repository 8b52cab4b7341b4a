//! The log: lines on standard error.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::TryInitError;

use crate::settings::LogFormat;

/// Writes the log from now on. `RUST_LOG` sets what of it; `default` if it is not set or cannot be read.
///
/// # Errors
/// A log is written already.
pub(crate) fn install(format: LogFormat, default: &str) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish().try_init(),
    }
}
