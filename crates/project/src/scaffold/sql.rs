//! The two models.

use super::lines::Line;
use super::{Names, Scaffold};
use crate::infer::identifier;

impl Scaffold<'_> {
    /// The staging model: the records with their objects laid flat.
    pub(super) fn staging_sql(&self, names: &Names, lines: &[Line]) -> String {
        let mut rows = Vec::with_capacity(lines.len());
        let mut before: Option<&Line> = None;
        for line in lines {
            // an object stands apart from what is around it
            let of_one = before.is_none_or(|before| {
                (!before.is_inner && !line.is_inner) || before.column == line.column
            });
            let gap = if of_one { "" } else { "\n" };
            let name = identifier(&line.name);
            let row = match line.expression == name {
                true => name,
                false => format!("{} as {name}", line.expression),
            };
            rows.push(format!("{gap}        {row}"));
            before = Some(line);
        }
        format!(
            "with\n\nsource as (\n\n    select * from {{{{ source('{job}', '{table}') }}}}\n\n),\n\n\
             renamed as (\n\n    select\n{rows}\n\n    from source\n\n)\n\nselect * from renamed\n",
            job = self.job,
            table = names.table,
            rows = rows.join(",\n"),
        )
    }
}

/// The fact: a row for each key, or for each record where there is none.
pub(super) fn fact(names: &Names, lines: &[Line], key: &[String]) -> String {
    let quoted = |name: &String| format!("'{}'", name.replace('\'', "\\'"));
    let unique_key = match key {
        [] => String::new(),
        [one] => format!(", unique_key={}", quoted(one)),
        several => {
            let several: Vec<String> = several.iter().map(quoted).collect();
            format!(", unique_key=[{}]", several.join(", "))
        }
    };
    let alias = match names.fact == names.fact_table {
        true => String::new(),
        false => format!(", alias='{}'", names.fact_table),
    };
    let import = match names.table.as_str() {
        "final" | "source" => "records".to_owned(),
        table => identifier(table),
    };
    let rows: Vec<String> = lines
        .iter()
        .map(|line| format!("        {}", identifier(&line.name)))
        .collect();
    format!(
        "{{{{ config(materialized='incremental'{unique_key}{alias}) }}}}\n\n\
         with\n\n{import} as (\n\n    select * from {{{{ ref('{staging}') }}}}\n\n),\n\n\
         final as (\n\n    select\n{rows}\n\n    from {import}\n\n)\n\nselect * from final\n",
        staging = names.staging,
        rows = rows.join(",\n"),
    )
}
