//! Clients in other languages: generated from the OpenAPI document, compiled strictly, and run against the mock server, so that
//! whatever the document says can be used by those who do not write Rust.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::openapi::kept;
use crate::tools::{example, python, root, run};

/// The generators' versions and options, and the programs that use what is generated.
const SOURCES: &str = "xtask/clients";
/// The programs and options, to be put beside what is generated.
const FILES: [&str; 7] =
    ["package.json", "package-lock.json", "tsconfig.json", "use.ts", "use.py", "python.yaml", "mypy.ini"];

/// Generates, compiles and runs both clients.
pub(crate) fn clients() -> Result<()> {
    let work = root().join("target").join("clients");
    fs::create_dir_all(&work)?;
    for file in FILES {
        fs::copy(root().join(SOURCES).join(file), work.join(file)).with_context(|| file.to_owned())?;
    }
    fs::copy(kept(), work.join("openapi.json")).context("docs/openapi.json")?;
    generate_typescript(&work)?;
    let python = generate_python(&work)?;
    let server = Server::start()?;
    run(Command::new("node").args(["out/use.js", &server.url]).current_dir(&work))?;
    run(Command::new(&python).args(["use.py", &server.url]).current_dir(&work))?;
    println!("the document is valid; its TypeScript and Python clients compile, and call the mock server");
    Ok(())
}

fn generate_typescript(work: &Path) -> Result<()> {
    for program in ["node", "npm"] {
        let answers = Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
        if !answers.is_ok_and(|status| status.success()) {
            bail!(
                "`{program}` is not on this machine: install Node.js 20 or later with npm, or leave `cargo xtask clients` to the gate"
            );
        }
    }
    let lock = fs::read(work.join("package-lock.json"))?;
    let stamp = work.join("node_modules").join(".installed");
    // The same lock file gives the same packages: nothing to ask anybody.
    if fs::read(&stamp).ok().is_none_or(|installed| installed != lock) {
        let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        run(Command::new("npm").args(install).current_dir(work))?;
        fs::write(&stamp, lock)?;
    }
    let tool = |name: &str| work.join("node_modules").join(".bin").join(name);
    run(Command::new(tool("openapi-typescript")).args(["openapi.json", "--output", "api.ts"]).current_dir(work))?;
    run(Command::new(tool("tsc")).args(["--project", "."]).current_dir(work))
}

/// Gives the Python that can run what was generated.
fn generate_python(work: &Path) -> Result<PathBuf> {
    let requirements = root().join(SOURCES).join("requirements.txt");
    let python = python(&fs::read_to_string(requirements)?)?;
    let tool = |name: &str| python.with_file_name(name);
    run(Command::new(tool("openapi-spec-validator")).arg("openapi.json").current_dir(work))?;
    let generate = ["generate", "--overwrite", "--meta", "none", "--config", "python.yaml", "--fail-on-warning"];
    let generate = Command::new(tool("openapi-python-client"))
        .args(generate)
        .args(["--path", "openapi.json", "--output-path", "orchestrator_api"])
        .current_dir(work)
        .stdin(Stdio::null())
        .status();
    ensure!(generate.is_ok_and(|status| status.success()), "the Python client could not be generated");
    run(Command::new(tool("mypy")).args(["use.py", "orchestrator_api"]).current_dir(work))?;
    Ok(python)
}

/// The mock server as a process; it ends with its standard input.
struct Server {
    url: String,
    process: Child,
}

impl Server {
    fn start() -> Result<Self> {
        let mut command = Command::new(example("mock_server")?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the mock server could not be started")?;
        let mut url = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut url)?;
        }
        let server = Self { url: url.trim().to_owned(), process };
        ensure!(server.url.starts_with("http://127.0.0.1:"), "the mock server did not say where it listens");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It ends by itself; nobody is left to tell if it ended badly.
        let _ = self.process.wait();
    }
}
