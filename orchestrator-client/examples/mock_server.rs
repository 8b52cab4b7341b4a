//! The mock server as a process of its own, for products that are not written in Rust: prints its address, and serves until its
//! standard input ends. `cargo run -p orchestrator-client --features mock --example mock_server`

use std::io::{self, Write};

use orchestrator_client::mock::{MockServer, Outcome};
use serde_json::json;

#[tokio::main]
async fn main() -> io::Result<()> {
    let server = MockServer::start().await?;
    server.when("billing-api", "request").then(json!({"status": 201, "body": {"refund": "re_1"}}));
    server.when("billing-api", "broken").then(Outcome::rejected(402, json!({"error": "no money"})));

    let mut out = io::stdout();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    // Whoever started it ends it by closing its input.
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await.map_err(io::Error::other)??;
    Ok(())
}
