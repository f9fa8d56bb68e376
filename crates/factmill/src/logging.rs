//! Structured logs on standard error, text or JSON.

use std::io::{self, Write};

use anstream::AutoStream;
use clap::ValueEnum;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::printer::Printer;

/// The environment variable that sets log levels by module, such as `factmill=debug,rdkafka=info`.
pub(crate) const FILTER_VARIABLE: &str = "FACTMILL_LOG";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Starts logging for the whole process: warnings, and with a `verbose` above 0 more of it.
///
/// A live view needs quiet; off a terminal a stream tells of its progress by logs, so there the
/// default is `info`.
pub(crate) fn start(format: LogFormat, verbose: u8, printer: &Printer) {
    let level = match verbose {
        0 if printer.is_interactive() => "warn",
        0 => "info",
        1 => "info,factmill=debug",
        _ => "debug",
    };
    // Libraries speak of their own retries and shutdowns; what matters of them reaches us as errors.
    let default = format!(
        "{level},librdkafka=error,rdkafka=error,sqlparser=warn,datafusion=warn,hyper=warn,tokio_postgres=warn,sqlx=warn"
    );
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let writer = AboveLiveView(printer.live().clone());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Text => {
            let colors = AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            builder.with_ansi(colors).with_target(false).init();
        }
        LogFormat::Json => builder.with_ansi(false).json().flatten_event(true).init(),
    }
}

/// Writes above the live view.
#[derive(Debug, Clone)]
struct AboveLiveView(MultiProgress);

impl<'a> MakeWriter<'a> for AboveLiveView {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for AboveLiveView {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
