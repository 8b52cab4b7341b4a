//! What others do on the same machine in the same run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::AnyError;
use crate::options::Options;

/// Postgres by itself: `pgbench` inserts single rows, each committed, by 64 clients. How many a second.
///
/// # Errors
/// `pgbench` is not there, or fails.
pub async fn single_rows(options: &Options, url: &str, pgbench: &Path) -> Result<f64, AnyError> {
    const TABLE: &str = "create table single (id bigserial primary key, body text not null)";
    const INSERT: &str = "insert into single (body) values (repeat('x', 256));\n";
    let folder = tempfile::tempdir_in(&options.dir)?;
    let script = folder.path().join("insert.sql");
    std::fs::write(&script, INSERT)?;
    let psql = pgbench.with_file_name("psql");
    run(Command::new(psql).args(["-q", "-c", TABLE, url])).await?;
    let seconds = options.time.as_secs().max(1).to_string();
    let mut bench = Command::new(pgbench);
    bench.args(["-n", "-M", "prepared", "-c", "64", "-j", "2", "-T", &seconds, "-f"]).arg(&script).arg(url);
    let told = run(&mut bench).await?;
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")).and_then(|rest| rest.split(' ').next());
    Ok(rate.ok_or("pgbench tells no rate")?.parse()?)
}

/// graphile-worker, with its local queue and batched completion, on jobs that do nothing: how many a second. `None` if its
/// package is not in the folder `modules`.
///
/// # Errors
/// It fails.
pub async fn graphile(url: &str, modules: &Path, jobs: usize) -> Result<Option<f64>, AnyError> {
    const SCRIPT: &str = include_str!("graphile.cjs");
    if !modules.join("graphile-worker").is_dir() {
        return Ok(None);
    }
    let mut node = Command::new("node");
    node.args(["-e", SCRIPT]).env("NODE_PATH", modules).env("DATABASE_URL", url).env("JOBS", jobs.to_string());
    let told = run(&mut node).await?;
    let rate = told.lines().find_map(|line| line.strip_prefix("rate "));
    Ok(Some(rate.ok_or("graphile-worker tells no rate")?.trim().parse()?))
}

async fn run(command: &mut Command) -> Result<String, AnyError> {
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ended = tokio::time::timeout(Duration::from_secs(300), ended).await??;
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into_owned().into());
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}
