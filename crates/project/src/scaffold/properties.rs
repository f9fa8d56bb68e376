//! The YAML beside the SQL: the source's contract, what the columns are, their tests.

use factmill_core::types::DeclaredType;

use super::lines::Line;
use super::yaml::{entry, inside, quoted};
use super::{Names, Scaffold};

impl Scaffold<'_> {
    /// `_sources.yml`: the columns, their types and what a record must keep.
    pub(super) fn sources(&self, names: &Names) -> String {
        let mut meta = String::new();
        if self.from.is_keyed() && !self.inferred.key.is_empty() {
            let key: Vec<String> = self.inferred.key.iter().map(|key| inside(key)).collect();
            meta.push_str(&format!("              key: [{}]\n", key.join(", ")));
        }
        if let Some(time) = self.event_time() {
            meta.push_str(&entry(14, "event_time", time));
        }
        meta.push_str("              time_zone: UTC\n");
        let about = format!(
            "One record each. The columns were guessed from {} of them; say here what they mean.",
            self.inferred.records
        );
        let mut text = format!(
            "version: 2\n\nsources:\n  - name: {job}\n{description}    tables:\n      - name: {table}\n{about}        config:\n          meta:\n            factmill:\n{meta}        columns:\n",
            job = self.job,
            description = entry(4, "description", &format!("{}.", self.about())),
            table = names.table,
            about = entry(8, "description", &about),
        );
        for column in &self.inferred.columns {
            let missing = match column.nulls {
                0 => String::new(),
                nulls => format!("; null or missing in {nulls} of {}", self.inferred.records),
            };
            text.push_str(&format!(
                "          - name: {}\n",
                super::yaml::scalar(&column.name)
            ));
            let reason = format!("Guessed: {}{missing}.", column.guess.reason);
            text.push_str(&entry(12, "description", &without_marks(&reason)));
            text.push_str(&entry(
                12,
                "data_type",
                &written_type(&column.guess.declared),
            ));
            let mut own = Vec::new();
            if column.name != column.field {
                own.push(format!("from: {}", quoted(&column.field)));
            }
            if self.needs(&column.name) {
                own.push("not_null: true".to_owned());
            }
            if !own.is_empty() {
                text.push_str(&format!(
                    "            config: {{ meta: {{ factmill: {{ {} }} }} }}\n",
                    own.join(", ")
                ));
            }
            if self.needs(&column.name) {
                text.push_str("            data_tests: [not_null]\n");
            }
        }
        text
    }

    /// The staging model's YAML.
    pub(super) fn staging_yml(&self, names: &Names, lines: &[Line], key: &[String]) -> String {
        let about = match key {
            [] => "The records with their objects laid flat.",
            _ => {
                "The records with their objects laid flat. One that was sent twice stands here twice."
            }
        };
        let mut text = format!(
            "version: 2\n\nmodels:\n  - name: {}\n{}    config:\n      schema: {}\n      materialized: view\n    columns:\n",
            names.staging,
            entry(4, "description", about),
            self.job
        );
        for line in lines {
            text.push_str(&described(line));
            text.push_str(&self.tests(line, key, false));
        }
        text
    }

    /// The fact's YAML.
    pub(super) fn fact_yml(&self, names: &Names, lines: &[Line], key: &[String]) -> String {
        let time = self.time(lines);
        let newest = match (self.event_time(), &time) {
            (Some(_), Some(time)) => format!("the newest by {time}"),
            _ => "the newest that came".to_owned(),
        };
        let (about, maintenance) = match key {
            [] => ("One row per record.".to_owned(), "append"),
            several => (
                format!("One row per {}, {newest}.", several.join(" and ")),
                "upsert",
            ),
        };
        let mut text = format!(
            "version: 2\n\nmodels:\n  - name: {}\n{}    config:\n      schema: {}\n      meta: {{ factmill: {{ maintenance: {maintenance} }} }}\n    columns:\n",
            names.fact,
            entry(4, "description", &about),
            self.job
        );
        for line in lines {
            text.push_str(&described(line));
            text.push_str(&entry(8, "data_type", &written_type(&line.declared)));
            text.push_str(&self.tests(line, key, true));
        }
        text
    }

    /// The time column, as the models call it.
    pub(super) fn time(&self, lines: &[Line]) -> Option<String> {
        let time = self.inferred.time.as_deref()?;
        let line = lines
            .iter()
            .find(|line| line.column == time && !line.is_inner)?;
        Some(line.name.clone())
    }

    /// The tests of a column: what the key and the time promise, and the texts that were seen.
    fn tests(&self, line: &Line, key: &[String], is_fact: bool) -> String {
        let is_key = key.contains(&line.name);
        let is_time = !line.is_inner && self.inferred.time.as_deref() == Some(line.column.as_str());
        let is_unique = is_fact && is_key && key.len() == 1;
        let mut text = match (is_unique, is_key || is_time) {
            (true, _) => return "        data_tests: [unique, not_null]\n".to_owned(),
            (_, true) => return "        data_tests: [not_null]\n".to_owned(),
            _ if line.choices.is_empty() => return String::new(),
            _ => String::from(
                "        data_tests:\n          - accepted_values:\n              arguments:\n",
            ),
        };
        let values: Vec<String> = line.choices.iter().map(|text| inside(text)).collect();
        text.push_str(&format!(
            "                values: [{}]\n",
            without_marks(&values.join(", "))
        ));
        text.push_str("              config: { severity: warn }\n");
        text
    }
}

fn described(line: &Line) -> String {
    format!(
        "      - name: {}\n{}",
        super::yaml::scalar(&line.name),
        entry(8, "description", &without_marks(&line.description))
    )
}

/// dbt reads Jinja in YAML too.
fn without_marks(text: &str) -> String {
    text.replace("{{", "{ {")
        .replace("{%", "{ %")
        .replace("{#", "{ #")
}

/// A type as people write it: names of fields without quotes where they need none.
fn written_type(declared: &DeclaredType) -> String {
    match declared {
        DeclaredType::List(item) => format!("{}[]", written_type(item)),
        DeclaredType::Struct(fields) => {
            let plain = |name: &str| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            let fields: Vec<String> = fields
                .iter()
                .map(|field| {
                    let name = match plain(&field.name) {
                        true => field.name.clone(),
                        false => format!("\"{}\"", field.name.replace('"', "\"\"")),
                    };
                    format!("{name} {}", written_type(&field.data_type))
                })
                .collect();
            format!("struct({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}
