//! `infer`: the columns that the records of a source seem to have, each with its reason.

use factmill_core::error::ExitCode;
use factmill_project::infer::{Inferred, Reading};
use serde::Serialize;

use super::sampling::{self, Place, Sample};
use crate::cli::InferArgs;
use crate::context::Context;
use crate::printer::{Align, Printer};
use crate::workspace::Workspace;

/// Runs it.
///
/// # Errors
/// A source that is none, cannot be reached, or holds nothing to infer from.
pub(super) async fn run(arguments: &InferArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let place = Place::parse(&arguments.from)?;
    let sample = sampling::sample(&place, &workspace, arguments.sample.get(), "source").await?;
    let printer = &workspace.printer;
    if arguments.json {
        printer.json(&Told::of(&sample))?;
    } else {
        print(printer, &sample)?;
    }
    Ok(ExitCode::Done)
}

/// Everything that was guessed, for a machine.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    source: String,
    records: usize,
    repeated: usize,
    key: &'a [String],
    key_reason: &'a str,
    time: Option<&'a str>,
    columns: Vec<ToldColumn<'a>>,
    left_out: Vec<&'a str>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct ToldColumn<'a> {
    name: &'a str,
    field: &'a str,
    data_type: String,
    /// What the models make of it.
    modelled: String,
    role: Option<&'static str>,
    nulls: usize,
    reason: &'a str,
}

impl<'a> Told<'a> {
    pub(super) fn of(sample: &'a Sample) -> Self {
        let inferred = &sample.inferred;
        let columns = inferred.columns.iter().map(|column| ToldColumn {
            name: &column.name,
            field: &column.field,
            data_type: column.guess.declared.to_string(),
            modelled: column.guess.modelled().to_string(),
            role: inferred.role(column),
            nulls: column.nulls,
            reason: &column.guess.reason,
        });
        Self {
            source: sample.from.describe(),
            records: inferred.records,
            repeated: inferred.repeated,
            key: &inferred.key,
            key_reason: &inferred.key_reason,
            time: inferred.time.as_deref(),
            columns: columns.collect(),
            left_out: inferred
                .left_out
                .iter()
                .map(|left| left.field.as_str())
                .collect(),
            notes: &sample.notes,
        }
    }
}

/// The guesses as a table on standard output, what else is to know on standard error.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print(printer: &Printer, sample: &Sample) -> std::io::Result<()> {
    let inferred = &sample.inferred;
    let repeated = match inferred.repeated {
        0 => String::new(),
        several => format!(", {several} of them again"),
    };
    printer.note(format_args!(
        "{} records of {}{repeated}",
        inferred.records,
        sample.from.describe()
    ));
    let columns = [
        ("column", Align::Left),
        ("type", Align::Left),
        ("for", Align::Left),
        ("because", Align::Left),
    ];
    printer.table(&columns, rows(inferred))?;
    printer.note(match inferred.key.as_slice() {
        [] => format!("no key: {}", inferred.key_reason),
        key => format!("key {}: {}", key.join(", "), inferred.key_reason),
    });
    for note in &sample.notes {
        printer.note(format_args!("note: {note}"));
    }
    Ok(())
}

fn rows(inferred: &Inferred) -> Vec<Vec<String>> {
    let row = |column: &factmill_project::infer::Column| {
        let missing = match column.nulls {
            0 => String::new(),
            nulls => format!("; null or missing in {nulls}"),
        };
        let data_type = match column.guess.reading {
            Reading::AsItIs => column.guess.declared.to_string(),
            Reading::Epoch(_) | Reading::TextOfJson => {
                format!("{} → {}", column.guess.declared, column.guess.modelled())
            }
        };
        vec![
            shown(&column.name),
            shortened(&data_type),
            inferred.role(column).unwrap_or_default().to_owned(),
            format!("{}{missing}", shown(&column.guess.reason)),
        ]
    };
    inferred.columns.iter().map(row).collect()
}

/// A name from outside, without what a terminal would act on.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A type that fits on a line; `--json` has all of it.
fn shortened(data_type: &str) -> String {
    const LONGEST: usize = 48;
    let shown = shown(data_type);
    match shown.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}
