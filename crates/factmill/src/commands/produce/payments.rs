//! What `produce payments` does besides sending: cleaned files, scalers, refused rows.

use std::path::{Path, PathBuf};

use factmill_core::error::ExitCode;
use factmill_produce::payments::{self, PaymentsReport, PaymentsSettings};
use serde::Serialize;

use crate::cli::PaymentsArgs;
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
    arguments: &PaymentsArgs,
    settings: PaymentsSettings,
    workspace: &Workspace,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let printer = &workspace.printer;
    let (what, line, report) = match arguments.output.clone() {
        Some(output) => {
            let to = output.clone();
            let report = blocking(move || payments::clean_file(&settings, &to)).await?;
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
                return Err(Failure::usage("--fit wants --scaler FILE to write to").into());
            };
            let to = output.clone();
            let (scaler, report) = blocking(move || payments::fit(&settings, &to)).await?;
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
    };
    print_refused(printer, &report);
    if json {
        printer.json(&line)?;
    } else {
        let (rows, refused) = (grouped(line.rows), grouped(line.refused));
        printer.line(format_args!("{what}: {rows} rows read, {refused} refused"))?;
    }
    Ok(ExitCode::Done)
}

/// Says how many rows were refused for which reasons; the first ones were logged one by one.
pub(super) fn print_refused(printer: &Printer, report: &PaymentsReport) {
    if report.refused_in_all() > 0 {
        printer.warn(report);
    }
}
