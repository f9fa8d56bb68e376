//! The prompt of `sql`: one query after the other, until Ctrl-D.

use factmill_engine::SqlSession;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::{Target, answer, verbatim};
use crate::failure;
use crate::workspace::Workspace;

/// How many queries are remembered, in the project's `.factmill/` folder.
const REMEMBERED: usize = 1000;

const HELP: &str = "\
A query ends with `;` and may take several lines. Ctrl-C drops it, Ctrl-D or \\q leaves.
  \\d      what may stand after `from`
  \\?      this help";

/// Asks and answers. A wrong query is shown and the prompt goes on.
///
/// # Errors
/// When the terminal cannot be used.
pub(super) async fn run(
    session: &SqlSession,
    target: &Target,
    workspace: &Workspace,
) -> anyhow::Result<()> {
    let printer = &workspace.printer;
    let config = rustyline::Config::builder()
        .max_history_size(REMEMBERED)?
        .auto_add_history(false)
        .build();
    let mut editor = DefaultEditor::with_config(config)?;
    let history = workspace.directory.join(".factmill").join("sql_history");
    // A first start has none.
    let _ = editor.load_history(&history);
    printer.note("factmill SQL; \\? for help, Ctrl-D to leave");
    let mut query = String::new();
    loop {
        let mark = if query.is_empty() {
            "factmill> "
        } else {
            "       -> "
        };
        let read = tokio::task::spawn_blocking(move || {
            let line = editor.readline(mark);
            (editor, line)
        });
        let (returned, line) = read.await?;
        editor = returned;
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                query.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        match line.trim() {
            "\\q" | "exit" | "quit" if query.is_empty() => break,
            "\\?" | "help" if query.is_empty() => printer.note(HELP),
            "\\d" if query.is_empty() => {
                for relation in session.relations() {
                    printer.line(relation)?;
                }
            }
            "" if query.is_empty() => {}
            _ => {
                query.push_str(&line);
                query.push('\n');
                if line.trim_end().ends_with(';') {
                    let asked = std::mem::take(&mut query);
                    editor.add_history_entry(asked.trim_end())?;
                    let typed = verbatim(asked.trim_end().trim_end_matches(';'));
                    if let Err(error) = answer(session, &typed, target, printer).await {
                        failure::report(printer, &error);
                    }
                }
            }
        }
    }
    if let Some(folder) = history.parent()
        && folder.is_dir()
        && let Err(error) = editor.save_history(&history)
    {
        printer.warn(format_args!("the queries cannot be remembered: {error}"));
    }
    Ok(())
}
