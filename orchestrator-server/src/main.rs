//! The `orchestrator` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    orchestrator_server::Server::new().run()
}
