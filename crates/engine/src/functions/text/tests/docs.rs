//! The examples of `docs/text-functions.md` are true.

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;

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
    // Files that the page shows, named on the line before their block.
    for (name, block) in page
        .split("\n`")
        .skip(1)
        .filter_map(|part| part.split_once("`:\n\n```json\n"))
        .filter(|(name, _)| name.ends_with(".json"))
    {
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, block.split("```").next().unwrap()).unwrap();
    }
    let session = SessionContext::new_with_state(state(&Memory::batch(), 1, dir.path()).unwrap());
    let examples = examples(page);
    assert!(examples.len() > 30, "{} examples", examples.len());
    for (sql, expected) in examples {
        let batches = session
            .sql(&format!("select {sql}"))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .collect()
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let options = FormatOptions::default().with_null("null");
        let formatter = ArrayFormatter::try_new(batches[0].column(0), &options).unwrap();
        assert_eq!(formatter.value(0).to_string(), expected, "{sql}");
    }
    // Every function has its example.
    for function in crate::functions::of_models(dir.path()) {
        assert!(
            page.contains(&format!("`{}(", function.name())),
            "{}",
            function.name()
        );
    }
}
