//! The `factmill` command: the same SQL models over history as a batch and over live records as a
//! stream.
//!
//! [`main`] is synchronous: flags, colours, logging and the project's folder are settled before the
//! runtime starts, so that no thread ever sees them half done.

mod cli;
mod commands;
mod config;
mod context;
mod databases;
mod embedded;
mod failure;
mod lake_reader;
mod live_view;
mod logging;
mod memory;
mod metrics;
mod metrics_server;
mod printer;
mod producers;
mod shutdown;
mod stream;
mod watch;
mod web;
mod workspace;

use std::process;
use std::time::Duration;

use clap::Parser;

use crate::cli::Cli;
use crate::context::Context;
use crate::printer::Printer;

/// How long blocking work that is still under way when a command ends may hold the process up.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// Threads beyond one for each core. Models compute on the runtime's threads for milliseconds at a
/// time; with none to spare, they make the connections wait that a commit goes through.
const SPARE_THREADS: usize = 4;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> process::ExitCode {
    memory::give_back_large_blocks();
    let cli = Cli::parse();
    let printer = Printer::new(cli.global.color);
    logging::start(cli.global.log_format, cli.global.verbose, &printer);
    let context = Context::new(&cli.global, printer.clone());

    let outcome = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores() + SPARE_THREADS)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let outcome = runtime.block_on(commands::dispatch(cli.command, &context));
            runtime.shutdown_timeout(RUNTIME_GRACE);
            outcome
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let code = match outcome {
        Ok(code) => code,
        Err(error) => failure::report(&printer, &error),
    };
    process::ExitCode::from(code as u8)
}
