//! The command line: one file a group of commands.
//!
//! Three kinds of commands: those that run or read an install where they are (`serve`, `demo`, `migrate`, `doctor`,
//! `token`) take its settings; `policy` needs none; all others talk HTTP to a server, through the client that products use.

mod audit;
mod bundle;
mod connection;
mod connector;
mod demo;
mod dlq;
mod doctor;
mod events;
mod execution;
mod explain;
mod identity;
mod inbox;
mod install;
mod jobs;
mod kek;
mod migrate;
mod operator;
mod output;
mod policy;
mod rollback;
mod schema;
mod secret;
mod serve;
mod signals;
mod span;
mod token;
mod webhook;
mod workspace;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use self::output::{Output, Printer};
use crate::Server;

/// Connects products to the outside world: policies, jobs, webhooks, tenants.
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    /// How answers are written.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server. Without any settings: on 127.0.0.1:8080, embedded storage in ./orchestrator-data.
    Serve(serve::Serve),
    /// Show the whole in one command, in a temporary folder.
    Demo(demo::Demo),
    /// Bring the store to the schema of this version. A starting server does the same.
    Migrate(migrate::Migrate),
    /// Say whether an install can work; leaves nothing behind, also beside a running server.
    Doctor(doctor::Doctor),
    /// Tokens signed with the install's own key.
    #[command(subcommand)]
    Token(token::Token),
    /// Workspaces.
    #[command(subcommand)]
    Workspace(workspace::Workspaces),
    /// Make workspaces what bundles say. Shows what would change, and asks.
    Apply(Box<bundle::Apply>),
    /// Write a workspace as one document, without secrets.
    Export(bundle::Export),
    /// JSON Schemas of what is written by hand.
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Make the config version active that was so before.
    Rollback(rollback::Rollback),
    /// Connectors: how they stand, and which kinds there are.
    #[command(subcommand)]
    Connector(connector::Connectors),
    /// Stored secrets. Values come from standard input, a variable or a file, never by flag.
    #[command(subcommand)]
    Secret(secret::Secrets),
    /// What a policy says, and what it would do.
    #[command(subcommand)]
    Policy(policy::Policies),
    /// Durable jobs.
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// The events of a workspace.
    #[command(subcommand)]
    Events(events::Events),
    /// Calls that were made.
    #[command(subcommand)]
    Execution(execution::Executions),
    /// Show where the time of a call went, and what each policy decided.
    Explain(explain::Explain),
    /// Dead letters.
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Webhooks as a provider sends them, for trying a route out.
    #[command(subcommand)]
    Webhook(webhook::Webhooks),
    /// What providers have sent.
    #[command(subcommand)]
    Inbox(inbox::Inbox),
    /// Service identities: what products call as.
    #[command(subcommand)]
    Identity(identity::Identities),
    /// Operators and their roles.
    #[command(subcommand)]
    Operator(operator::Operators),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// How a command ended that had nothing to complain of otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// What was asked about is so.
    Good,
    /// It is not, and the output says so: a dead job, a failed check.
    Bad,
    /// Something is left to do: a plan that was declined, or only asked for.
    Open,
}

impl From<bool> for Verdict {
    fn from(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

/// Runs the command of this process's arguments; `server` is what it serves, if it does. 0 if all is well, 1 if not, 2 if
/// something is left to do or the arguments are none.
#[must_use]
pub fn main(server: Server) -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.output);
    match run(cli.command, printer, server) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Ok(Verdict::Open) => ExitCode::from(2),
        Err(error) => {
            printer.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, printer: Printer, server: Server) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    runtime.block_on(dispatch(command, printer, server))
}

async fn dispatch(command: Command, printer: Printer, server: Server) -> anyhow::Result<Verdict> {
    match command {
        Command::Serve(command) => command.run(server).await,
        Command::Demo(command) => command.run(printer).await,
        Command::Migrate(command) => command.run(printer).await,
        Command::Doctor(command) => command.run(printer).await,
        Command::Token(command) => command.run(printer).await,
        Command::Workspace(command) => command.run(printer).await,
        Command::Apply(command) => command.run(printer).await,
        Command::Export(command) => command.run(printer).await,
        Command::Schema(command) => command.run(),
        Command::Rollback(command) => command.run(printer).await,
        Command::Connector(command) => command.run(printer).await,
        Command::Secret(command) => command.run(printer).await,
        Command::Policy(command) => command.run(printer).await,
        Command::Jobs(command) => command.run(printer).await,
        Command::Events(command) => command.run(printer).await,
        Command::Execution(command) => command.run(printer).await,
        Command::Explain(command) => command.run(printer).await,
        Command::Dlq(command) => command.run(printer).await,
        Command::Webhook(command) => command.run(printer).await,
        Command::Inbox(command) => command.run(printer).await,
        Command::Identity(command) => command.run(printer).await,
        Command::Operator(command) => command.run(printer).await,
        Command::Audit(command) => command.run(printer).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
