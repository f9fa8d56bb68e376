//! The examples of `docs/text-functions.md` are true.

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;

use super::super::stop_words;
use crate::session::{Memory, state};

/// The rows of tables whose heading is `SQL | result`: both cells are code.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        if line.starts_with("| SQL | result |") {
            in_table = true;
        } else if !line.starts_with('|') {
            in_table = false;
        } else if in_table && !line.starts_with("|---") {
            let mut cells = line.trim_matches('|').split(" | ");
            let mut cell = || cells.next().unwrap().trim().trim_matches('`').to_owned();
            examples.push((cell(), cell()));
        }
    }
    examples
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_the_truth() {
    let page = include_str!("../../../../../../docs/text-functions.md");
    let dir = tempfile::tempdir().unwrap();
    // Files that the page shows, each named on the line before its block.
    let mut parts = page.split("`:\n\n```json\n");
    let mut before = parts.next().unwrap();
    for part in parts {
        let file = dir.path().join(before.rsplit('`').next().unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, part.split("```").next().unwrap()).unwrap();
        before = part;
    }
    let session = SessionContext::new_with_state(state(&Memory::batch(), 1, dir.path()).unwrap());
    let examples = examples(page);
    assert!(examples.len() > 30, "{} examples", examples.len());
    let mut wrong = Vec::new();
    for (sql, expected) in examples {
        let result = match session.sql(&format!("select {sql}")).await {
            Ok(rows) => rows.collect().await,
            Err(error) => Err(error),
        };
        let options = FormatOptions::default().with_null("null");
        let shown = match &result {
            Ok(batches) => ArrayFormatter::try_new(batches[0].column(0), &options)
                .unwrap()
                .value(0)
                .to_string(),
            Err(error) => error.to_string(),
        };
        if shown != expected {
            wrong.push(format!("{sql}: {shown}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let languages: Vec<_> = stop_words::codes().collect();
    let languages = languages.join(", ");
    let unwrapped = page.replace('\n', " ");
    assert!(unwrapped.contains(&languages), "stop words of {languages}");
    // Every function has its example.
    for function in crate::functions::of_models(dir.path()) {
        assert!(
            page.contains(&format!("`{}(", function.name())),
            "{}",
            function.name()
        );
    }
}
