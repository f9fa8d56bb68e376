//! `dead-letters list|show`: records that could not be loaded.

use factmill_connect::sink::postgres::{
    DeadLetterFilter, ListedDeadLetter, StoredDeadLetter, Warehouse,
};
use factmill_core::error::ExitCode;
use serde_json::{Map, Value, json};

use super::warehouse;
use crate::cli::{DeadLettersAction, DeadLettersArgs};
use crate::config::Needs;
use crate::context::Context;
use crate::failure::Failure;
use crate::printer::{Align, BOLD, Printer};
use crate::workspace::Workspace;

/// Runs it.
///
/// # Errors
/// An unreachable warehouse, an unknown job, no dead letter of that number.
pub(super) async fn run(
    arguments: &DeadLettersArgs,
    context: &Context,
) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    if let DeadLettersAction::List { job: Some(job), .. } = &arguments.action {
        workspace.project()?.job(job)?;
    }
    let needs = Needs {
        warehouse: true,
        ..Needs::default()
    };
    let servers = workspace.servers(needs, "factmill dead-letters").await?;
    let done = async {
        let warehouse = warehouse(&servers.connections()).await?;
        act(&warehouse, &workspace, &arguments.action).await
    };
    let done = done.await;
    servers.close().await?;
    done?;
    Ok(ExitCode::Done)
}

async fn act(
    warehouse: &Warehouse,
    workspace: &Workspace,
    action: &DeadLettersAction,
) -> anyhow::Result<()> {
    let printer = &workspace.printer;
    match action {
        DeadLettersAction::List {
            job,
            reason,
            limit,
            json,
        } => {
            let filter = DeadLetterFilter {
                job: job.clone(),
                target: Some(workspace.reader("").target),
                reason: reason.clone(),
                ..DeadLetterFilter::default()
            };
            let listed = warehouse
                .list_dead_letters(&filter, *limit)
                .await
                .map_err(Failure::classified)?;
            if *json {
                return listed
                    .iter()
                    .try_for_each(|letter| printer.json(&Value::Object(fields(letter))));
            }
            let counts = warehouse
                .count_dead_letters(&filter)
                .await
                .map_err(Failure::classified)?;
            print_list(printer, &listed, &counts)
        }
        DeadLettersAction::Show { id, json } => {
            let letter = warehouse
                .show_dead_letter(*id)
                .await
                .map_err(Failure::classified)?;
            let letter = letter.ok_or_else(|| {
                Failure::usage(format!(
                    "no dead letter {id}; `factmill dead-letters list` lists them"
                ))
            })?;
            match json {
                true => printer.json(&with_content(&letter)),
                false => print_one(printer, &letter),
            }
        }
    }
}

fn print_list(
    printer: &Printer,
    listed: &[ListedDeadLetter],
    counts: &[(String, i64)],
) -> anyhow::Result<()> {
    if listed.is_empty() {
        printer.note("no dead letters");
        return Ok(());
    }
    let rows = listed.iter().map(|letter| {
        vec![
            letter.id.to_string(),
            letter.job.clone(),
            format!("{}/{} @ {}", letter.source, letter.partition, letter.offset),
            letter.reason.clone(),
            letter.field.clone().unwrap_or_default(),
            one_line(&letter.detail),
        ]
    });
    let columns = [
        ("id", Align::Right),
        ("job", Align::Left),
        ("position", Align::Left),
        ("reason", Align::Left),
        ("field", Align::Left),
        ("detail", Align::Left),
    ];
    printer.table(&columns, rows.collect())?;
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    let reasons: Vec<String> = counts
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    printer.note(format_args!(
        "{} of {total} shown; {}",
        listed.len(),
        reasons.join(", ")
    ));
    Ok(())
}

fn print_one(printer: &Printer, letter: &StoredDeadLetter) -> anyhow::Result<()> {
    let content = with_content(letter);
    for (name, value) in content.as_object().into_iter().flatten() {
        let shown = match value {
            Value::Null => continue,
            Value::String(text) => printable(text),
            other => other.to_string(),
        };
        printer.line(format_args!("{BOLD}{name}{BOLD:#}: {shown}"))?;
    }
    Ok(())
}

fn fields(letter: &ListedDeadLetter) -> Map<String, Value> {
    let time =
        |time: &chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let fields = json!({
        "id": letter.id,
        "target": letter.target,
        "job": letter.job,
        "source": letter.source,
        "incarnation": letter.incarnation,
        "partition": letter.partition,
        "offset": letter.offset,
        "record_timestamp": letter.record_timestamp.as_ref().map(time),
        "reason": letter.reason,
        "field": letter.field,
        "detail": letter.detail,
        "status": letter.status,
        "epoch": letter.epoch.id(),
        "committed_at": time(&letter.committed_at),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn with_content(letter: &StoredDeadLetter) -> Value {
    let mut all = fields(&letter.listed);
    all.insert("key".into(), bytes(letter.key.as_deref()));
    all.insert("headers".into(), letter.headers.clone());
    all.insert("payload".into(), bytes(letter.payload.as_deref()));
    Value::Object(all)
}

/// Bytes as text where they are text, else as headers that are none: `{"hex": "…"}`.
fn bytes(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
    })
}

/// Text from a record, which may hold anything: control characters must not reach the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c.to_string(),
            c if c.is_control() => c.escape_default().to_string(),
            c => c.to_string(),
        })
        .collect()
}

fn one_line(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut line: String = printable(text).replace(['\n', '\t'], " ");
    if let Some((end, _)) = line.char_indices().nth(WIDTH) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_holds_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\tc"), "a\\u{1b}[31mb\tc");
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(one_line(&"é".repeat(200)).chars().count(), 101);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_hex() {
        assert_eq!(bytes(Some(b"{}")), json!("{}"));
        assert_eq!(bytes(Some(&[0xff, 0x00])), json!({ "hex": "ff00" }));
        assert_eq!(bytes(None), Value::Null);
    }
}
