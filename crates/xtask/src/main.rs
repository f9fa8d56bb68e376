//! What developers and CI run: `cargo xtask test`, `cargo xtask bench`, `cargo xtask ci`.
//!
//! Everything is built in the release profile and through the one feature graph of the workspace, so
//! that tests, benches and the product share one build of DataFusion.

mod bench;
mod ci;
mod schema;
mod steps;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "What developers and CI run"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test, real servers included, after installing what they need
    Test(test::Arguments),
    /// Measure: a benchmark of the workspace by its name
    Bench(bench::Arguments),
    /// Write anew the JSON Schemas that editors complete factmill.yml and jobs/*.yml with
    Schema,
    /// What CI checks beside the tests: format, compose file, dependencies, lints, docs
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Schema => schema::write(),
        Task::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
