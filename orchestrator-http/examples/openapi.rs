//! Prints the OpenAPI document of every route, as `GET /openapi.json` answers it: `cargo run -p orchestrator-http --example openapi`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &orchestrator_http::openapi())?;
    writeln!(out)
}
