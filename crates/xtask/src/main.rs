//! What developers and CI run: `cargo xtask test`, `cargo xtask bench`, `cargo xtask ci`.
//!
//! Everything is built in the release profile and through the one feature graph of the workspace, so
//! that tests, benches and the product share one build of DataFusion.

mod bench;
mod ci;
mod graphs;
mod pictures;
mod schema;
mod steps;
mod terminal;
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
    #[command(after_help = test::SERVERS)]
    Test(test::Arguments),
    /// Measure: a benchmark of the workspace by its name
    Bench(bench::Arguments),
    /// Write anew the JSON Schemas that editors complete factmill.yml and jobs/*.yml with
    Schema,
    /// Draw anew what each job's models are made of, docs/graphs
    Graphs,
    /// Run every job and take anew the screenshots of what one sees, docs/pictures
    Pictures(pictures::Arguments),
    /// What CI checks beside the tests: format, compose file, dependencies, lints, docs
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Schema => schema::write(),
        Task::Graphs => graphs::write(),
        Task::Pictures(arguments) => pictures::run(&arguments),
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
