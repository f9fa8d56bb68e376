//! What `produce payments` does besides sending: cleaned files, scalers, refused rows.

use std::path::{Path, PathBuf};

use factmill_core::error::ExitCode;
use factmill_produce::payments::{self, PaymentsMeter, PaymentsReport, PaymentsSettings};
use serde::Serialize;

use super::bar::Bar;
use crate::cli::{PaymentsArgs, ProduceArgs};
use crate::commands::refuse;
use crate::failure::Failure;
use crate::printer::{Printer, grouped};
use crate::producers::blocking;
use crate::workspace::Workspace;

/// How the file is read: as the flags say, else as the job file does.
pub(super) fn settings(
    arguments: &PaymentsArgs,
    workspace: &Workspace,
    [input, scaler]: [&Path; 2],
) -> PaymentsSettings {
    // A flag's path is relative to where the command runs, as everywhere.
    let given = |flag: &Option<PathBuf>, job: &Path| {
        let of_job = workspace.directory.join(job);
        flag.clone().unwrap_or(of_job)
    };
    let input = given(&arguments.input, input);
    let mut settings = PaymentsSettings::new(input, given(&arguments.scaler, scaler));
    if let Some(chunk_size) = arguments.chunk_size {
        settings.chunk_size = chunk_size;
    }
    if let Some(tasks) = arguments.num_tasks {
        settings.tasks = tasks;
    }
    settings.again = arguments.again;
    settings
}

#[derive(Serialize)]
struct Line {
    rows: u64,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_max: Option<f64>,
}

/// Writes the cleaned rows, or the scaler of a file.
///
/// # Errors
/// A file that cannot be read, written or understood.
pub(super) async fn files(
    arguments: &ProduceArgs,
    settings: PaymentsSettings,
    workspace: &Workspace,
) -> anyhow::Result<ExitCode> {
    let sent_alone = [
        ("--rate", arguments.rate.is_some()),
        ("--bad", arguments.bad.is_some()),
        ("--seed", arguments.seed.is_some()),
        ("--again", arguments.payments.again),
    ];
    refuse(
        &sent_alone,
        "is for rows that are sent, which --output and --fit do not",
    )?;
    let printer = &workspace.printer;
    let (count, meter) = (arguments.count, PaymentsMeter::default());
    let bar = Bar::of_file(printer, meter.clone());
    let written = bar.beside(write(&arguments.payments, settings, count, meter));
    let written = written.await;
    bar.finish();
    let (what, line, report) = written?;
    print_refused(printer, &report);
    if arguments.json {
        printer.json(&line)?;
    } else {
        let (rows, refused) = (grouped(line.rows), grouped(line.refused));
        printer.line(format_args!("{what}: {rows} rows read, {refused} refused"))?;
    }
    Ok(ExitCode::Done)
}

/// Writes them; gives what was written, for a person and for a program.
async fn write(
    arguments: &PaymentsArgs,
    settings: PaymentsSettings,
    count: Option<u64>,
    meter: PaymentsMeter,
) -> Result<(String, Line, PaymentsReport), Failure> {
    Ok(match arguments.output.clone() {
        Some(output) => {
            let to = output.clone();
            let report =
                blocking(move || payments::clean_file(&settings, &to, count, &meter)).await?;
            let what = format!("cleaned rows in {}", output.display());
            let line = Line {
                rows: report.rows,
                refused: report.refused_in_all(),
                output: Some(output),
                data_min: None,
                data_max: None,
            };
            (what, line, report)
        }
        None => {
            let Some(output) = arguments.scaler.clone() else {
                return Err(Failure::usage("--fit wants --scaler FILE to write to"));
            };
            let to = output.clone();
            let (scaler, report) =
                blocking(move || payments::fit(&settings, &to, count, &meter)).await?;
            let (min, max) = (scaler.data_min(), scaler.data_max());
            let what = format!("amounts from {min} to {max}, in {}", output.display());
            let line = Line {
                rows: report.rows,
                refused: report.refused_in_all(),
                output: Some(output),
                data_min: Some(min),
                data_max: Some(max),
            };
            (what, line, report)
        }
    })
}

/// Says how many rows were refused for which reasons; the first ones were logged one by one.
pub(super) fn print_refused(printer: &Printer, report: &PaymentsReport) {
    if report.refused_in_all() > 0 {
        printer.warn(report);
    }
}
