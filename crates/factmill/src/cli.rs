//! The command line: every command, its flags and their help.

mod value;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::logging::LogFormat;
use crate::printer::Color;
use factmill_produce::Rate;
pub(crate) use value::Setting;

/// The environment variable that chooses a profile.
pub(crate) const PROFILE_VARIABLE: &str = "FACTMILL_PROFILE";

/// The profile that runs without any server.
pub(crate) const EMBEDDED: &str = "embedded";

/// The version, with the commit where git was there to ask at build time.
const VERSION: &str = env!("FACTMILL_VERSION");

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a run failed
  2  wrong use or configuration
  3  a service could not be reached
  4  a source has a gap: its stored position is gone
`run` keeps dbt's: 0 all succeeded, 1 a model failed, 2 the run could not start.";

/// Write dbt-style SQL once, run it over history as a batch and over live records as a stream
///
/// The tables in Postgres come out the same, exactly once. Without any server configured everything
/// runs on the `embedded` profile: a broker inside the process, a private Postgres, the lake on disk.
#[derive(Debug, Parser)]
#[command(name = "factmill", version = VERSION, styles = STYLES, propagate_version = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The profile of factmill.yml to use
    #[arg(long, global = true, env = PROFILE_VARIABLE, default_value = EMBEDDED, value_name = "NAME")]
    pub(crate) profile: String,
    /// The project's folder; by default the nearest one upwards that holds factmill.yml or dbt_project.yml
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) project_dir: Option<PathBuf>,
    /// How log lines look
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// When to colour
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
    /// Log more; twice for debug of everything. FACTMILL_LOG sets levels by module
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a job of your own: sample records, guess their columns, write its files
    New(NewArgs),
    /// Print the columns that the records of a source seem to have
    Infer(InferArgs),
    /// Run a job's stream: micro-batches from its sources into its tables, exactly once
    Stream(StreamArgs),
    /// Send a job's events to its topic
    Produce(ProduceArgs),
    /// Run a job's services: APIs that its events come from, a web page
    Serve(ServeArgs),
    /// Build models over the whole history as a batch
    Run(RunArgs),
    /// Ask an SQL question over lake, warehouse and seeds
    Sql(SqlArgs),
    /// Look at records that could not be loaded
    DeadLetters(DeadLettersArgs),
    /// Look at how far a job has read, and go on after a gap
    Positions(PositionsArgs),
    /// Check every connection, right and setting, and say how to mend it
    Doctor(DoctorArgs),
    /// Print a script that completes commands in a shell
    Completions(CompletionsArgs),
}

/// `new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill new weather --from data/weather.jsonl    a file; CSV, JSON lines, Parquet, also packed
  factmill new weather --from kafka:weather_readings --profile local
  factmill new orders --from mongo:shop.orders --profile local
  factmill new rates --from 'https://api.example.org/rates?key=${API_KEY}'   secrets as variables
  factmill new weather --from weather.csv --dry-run     print the guesses, write nothing")]
pub(crate) struct NewArgs {
    /// The job's name: letters a to z, digits and `_`; its tables land in a schema of that name
    pub(crate) job: String,
    /// Where its records are: kafka:TOPIC, mongo:DATABASE.COLLECTION, a file, a folder, a URL
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: String,
    /// How many records to look at
    #[arg(long, value_name = "N", default_value = "500")]
    pub(crate) sample: NonZeroUsize,
    /// Write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `infer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill infer weather.jsonl                  columns with the reason of each guess
  factmill infer kafka:weather_readings --profile local --sample 2000
  factmill infer mongo:shop.orders --profile local --json")]
pub(crate) struct InferArgs {
    /// Where the records are: kafka:TOPIC, mongo:DATABASE.COLLECTION, a file, a folder, a URL
    #[arg(value_name = "SOURCE")]
    pub(crate) from: String,
    /// How many records to look at
    #[arg(long, value_name = "N", default_value = "500")]
    pub(crate) sample: NonZeroUsize,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `stream`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill stream banking                       try it out, nothing installed
  factmill stream banking retail                two jobs in one process; --all for every one
  factmill stream banking --profile local       real Kafka, MongoDB and Postgres
  factmill stream banking --once --json         read to the end, print one line of JSON
  factmill stream banking --for 30s --set raw_store.enabled=false
  factmill stream banking --listen 0.0.0.0:9464 metrics for others than this machine")]
pub(crate) struct StreamArgs {
    /// The jobs; without one a terminal is asked, elsewhere it is banking, and a project of one job runs that
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// Every job of the project
    #[arg(long, conflicts_with = "jobs")]
    pub(crate) all: bool,
    /// Read to the end that each partition had at the start, then exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Stop after this long: 30s, 5m, 1.5h
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration)]
    pub(crate) duration: Option<Duration>,
    /// Print one line of JSON for each job at its end instead of the summary
    #[arg(long)]
    pub(crate) json: bool,
    /// Override a key of every job file that runs; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<Setting>,
    /// Where to serve /metrics, /healthz and /readyz [default: 127.0.0.1:9464, or a free port where that is taken]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Events a second that the producer inside the embedded profile sends after its first 10,000, or `max` [default: 200]
    #[arg(long, value_name = "RATE")]
    pub(crate) produce_rate: Option<Rate>,
}

/// `produce`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill produce banking                              at the job's own pace, until stopped
  factmill produce banking --count 200000 --rate max    as fast as the broker takes them
  factmill produce banking --count 1000 --seed 42       the same events every time
  factmill produce banking --count 1000 --bad 1         one in a hundred is broken
  factmill produce payments --input payments.csv        each row once, also after a restart
  factmill produce payments --input in.csv --output out.csv     clean the rows, send nothing
  factmill produce payments --input in.csv --fit --scaler s.json  write the scaler of a file")]
pub(crate) struct ProduceArgs {
    /// The job whose events to send; may be left out where the project has only one
    pub(crate) job: Option<String>,
    /// Stop after this many events, with --output or --fit after this many rows of the file; event time
    /// that is simulated is then spread evenly over the month
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Events a second, or `max`; the two services of ecommerce share it
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<Rate>,
    /// Make the same events as the run that printed this seed, from the first one on
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// How many percent of the records are broken, to try out dead letters
    #[arg(long, value_name = "PERCENT", value_parser = value::percent)]
    pub(crate) bad: Option<f64>,
    /// Override a key of the job file; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<Setting>,
    /// Print one line of JSON at the end
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) payments: PaymentsArgs,
    /// Allow a STRIPE_API_KEY of live mode, whose charges move money
    #[arg(long, help_heading = "Options of stripe")]
    pub(crate) live: bool,
}

/// What `produce payments` takes besides.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of payments")]
pub(crate) struct PaymentsArgs {
    /// The CSV file with the columns Description and Amount [default: that of the job file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) input: Option<PathBuf>,
    /// The scaler of the amounts, a JSON file [default: that of the job file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) scaler: Option<PathBuf>,
    /// Rows that are read at a time [default: 1000]
    #[arg(long, value_name = "ROWS")]
    pub(crate) chunk_size: Option<NonZeroUsize>,
    /// Chunks that are cleaned at once [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) num_tasks: Option<NonZeroUsize>,
    /// Send the rows of a file again that were all sent before
    #[arg(long)]
    pub(crate) again: bool,
    /// Write the cleaned rows to a CSV file instead of sending them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "fit")]
    pub(crate) output: Option<PathBuf>,
    /// Write the scaler of the input's amounts to --scaler instead of sending anything
    #[arg(long, requires = "scaler")]
    pub(crate) fit: bool,
}

impl PaymentsArgs {
    /// Each of them, and whether it was given.
    pub(crate) fn given(&self) -> [(&'static str, bool); 7] {
        [
            ("--input", self.input.is_some()),
            ("--scaler", self.scaler.is_some()),
            ("--chunk-size", self.chunk_size.is_some()),
            ("--num-tasks", self.num_tasks.is_some()),
            ("--again", self.again),
            ("--output", self.output.is_some()),
            ("--fit", self.fit),
        ]
    }
}

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill serve ecommerce                      services at 8000 and 8001, web page at 5173
  factmill serve ecommerce --page 0.0.0.0:5173  the page for others than this machine
  factmill serve stripe --listen 127.0.0.1:12111  a simulated Stripe
  factmill serve retail                         a simulated streaming API at 8002")]
pub(crate) struct ServeArgs {
    /// The job; may be left out where the project has only one
    pub(crate) job: Option<String>,
    /// Where the job's API answers [default: its usual port on loopback]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the second service of ecommerce answers [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) third_party: Option<SocketAddr>,
    /// Where the web page of ecommerce answers [default: 127.0.0.1:5173]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) page: Option<SocketAddr>,
    /// Events a second of each response, or `max` [default: 1]; not of stripe
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<Rate>,
    /// Make the same events as the run that printed this seed
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// How many percent of the events are broken, to try out dead letters; not of stripe
    #[arg(long, value_name = "PERCENT", value_parser = value::percent)]
    pub(crate) bad: Option<f64>,
    /// Override a key of the job file; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<Setting>,
}

/// `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill run                                  every model
  factmill run --select fct_transactions        one model
  factmill run --select +agg_daily_by_type      a model and what it is made of
  factmill run --select banking --exclude dim_date
  factmill run --job banking --set schema=rebuilt  a job's tables from the lake, beside those it streams")]
pub(crate) struct RunArgs {
    /// Build the models of a job, from where it keeps the lake into its schema
    #[arg(long, value_name = "JOB", conflicts_with_all = ["select", "exclude"])]
    pub(crate) job: Option<String>,
    /// Override a key of the job file; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "job")]
    pub(crate) settings: Vec<Setting>,
    /// Models to build, in dbt's words: a name, a folder, `tag:x`, `+model`, `model+`
    #[arg(short, long, num_args = 1.., value_name = "MODEL")]
    pub(crate) select: Vec<String>,
    /// Models to leave out
    #[arg(long, num_args = 1.., value_name = "MODEL")]
    pub(crate) exclude: Vec<String>,
    /// Print one line of JSON for each model
    #[arg(long)]
    pub(crate) json: bool,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Columns that line up, for a person.
    Table,
    /// RFC 4180 with a header.
    Csv,
    /// One JSON array of objects.
    Json,
    /// A Parquet file; needs --output.
    Parquet,
}

/// `sql`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill sql \"select day_type, count(*) from banking.fct_transactions group by 1\"
  factmill sql \"select * from lake.banking.transactions\" --format csv > transactions.csv
  factmill sql --file sql/analyses/busiest_hours.sql --format json
  factmill sql --format parquet --output facts.parquet \"select * from banking.fct_transactions\"
  factmill sql                                  a prompt")]
pub(crate) struct SqlArgs {
    /// The query; without one it is read from standard input, or from a prompt on a terminal
    pub(crate) query: Option<String>,
    /// Read the query from a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "query", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// How rows are printed
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: RowFormat,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The most rows that a table shows; 0 for all
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) limit: usize,
}

/// `dead-letters`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill dead-letters list                    the newest of every job
  factmill dead-letters list banking --reason wrong_type
  factmill dead-letters show 42                 one with its payload")]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(crate) action: DeadLettersAction,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersAction {
    /// List them, newest first
    List {
        /// Only those of this job
        job: Option<String>,
        /// Only those with this reason, such as `wrong_type`
        #[arg(long, value_name = "REASON")]
        reason: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
        /// One line of JSON for each
        #[arg(long)]
        json: bool,
    },
    /// Show one with its key, headers and payload
    Show {
        /// Its number, as `list` prints it
        id: i64,
        /// As one line of JSON; bytes that are not UTF-8 are {"hex": …}
        #[arg(long)]
        json: bool,
    },
}

/// `positions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill positions banking list
  factmill positions banking list --json --profile prod
  factmill positions banking accept-gap               what is lost, and how the job would go on
  factmill positions banking accept-gap --yes         go on without it
  factmill positions orders accept-gap --source shop.orders --yes    a source other than a topic")]
pub(crate) struct PositionsArgs {
    /// The job
    pub(crate) job: String,
    #[command(subcommand)]
    pub(crate) action: PositionsAction,
}

/// What to do with positions.
#[derive(Debug, Subcommand)]
pub(crate) enum PositionsAction {
    /// List how far each partition has been read
    List {
        /// One line of JSON for each partition
        #[arg(long)]
        json: bool,
    },
    /// Go on after a gap: without the records that are lost, which the lineage keeps note of
    ///
    /// Topics are compared with the stored positions; where a log begins later, its position moves to the
    /// first record that is there. Any other source is named, and then read anew from its beginning:
    /// tables with a key end with the newest rows, tables without get again what they have already.
    #[command(verbatim_doc_comment)]
    AcceptGap {
        /// Only this source of the job, GROUP.TABLE; needed for one that is no topic
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// Do it; else it is only shown
        #[arg(long)]
        yes: bool,
        /// One line of JSON for each gap
        #[arg(long)]
        json: bool,
    },
}

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill doctor                               every job, embedded profile
  factmill doctor banking --profile prod        what one job needs
  factmill doctor --json                        for a machine; exit code 3 when a service is unreachable")]
pub(crate) struct DoctorArgs {
    /// Only what this job needs
    pub(crate) job: Option<String>,
    /// One line of JSON for each check
    #[arg(long)]
    pub(crate) json: bool,
}

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factmill completions bash > ~/.local/share/bash-completion/completions/factmill
  factmill completions zsh > ~/.zfunc/_factmill
  factmill completions fish > ~/.config/fish/completions/factmill.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains("Examples:\n  factmill "),
                "`{}` has no examples",
                command.get_name()
            );
        }
    }
}
