//! The `orchestrator` binary with the kind `clamd` in it. `CLAMD` says where the daemon listens; `127.0.0.1:3310` if it is
//! not set.
//!
//! `CLAMD=127.0.0.1:3310 cargo run -p orchestrator-example-custom-connector -- serve`

use std::process::ExitCode;

use orchestrator_example_custom_connector::kind;
use orchestrator_server::Server;

fn main() -> ExitCode {
    let clamd = std::env::var("CLAMD").unwrap_or_else(|_| "127.0.0.1:3310".to_owned());
    let Ok(clamd) = clamd.parse() else {
        eprintln!("CLAMD is an address and a port, as 127.0.0.1:3310");
        return ExitCode::FAILURE;
    };
    match kind(clamd) {
        Ok(kind) => Server::new().connector(kind).run(),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
