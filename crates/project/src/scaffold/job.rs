//! The job file.

use super::yaml::{inside, quoted, scalar, without_variables};
use super::{Names, ReadFrom, Scaffold};
use crate::job::FileFormat;

impl Scaffold<'_> {
    /// `jobs/<job>.yml`; `with_schema` where the project has the schema that editors complete it by.
    pub(super) fn job_file(&self, names: &Names, with_schema: bool) -> String {
        let schema = match with_schema {
            true => "# yaml-language-server: $schema=../docs/schemas/job.schema.json\n",
            false => "",
        };
        let read = match self.from {
            ReadFrom::Kafka { topic } => {
                format!(
                    "    kafka: {{ topic: {}, start: earliest }}\n    format: json\n",
                    inside(topic)
                )
            }
            ReadFrom::Mongo {
                database,
                collection,
                changes,
            } => {
                let poll = if *changes { "" } else { ", poll_by: _id" };
                let literal = |name: &str| inside(&without_variables(name));
                format!(
                    "    mongo: {{ database: {}, collection: {}{poll} }}\n",
                    literal(database),
                    literal(collection)
                )
            }
            ReadFrom::Files { path, format } => {
                let path = inside(&without_variables(&path.to_string_lossy()));
                let kind = match format {
                    FileFormat::Csv { delimiter: b',' } => "kind: csv".to_owned(),
                    FileFormat::Csv { delimiter } => {
                        let delimiter = quoted(&char::from(*delimiter).to_string());
                        format!("kind: csv, delimiter: {delimiter}")
                    }
                    FileFormat::JsonLines => "kind: json_lines".to_owned(),
                    FileFormat::Parquet => "kind: parquet".to_owned(),
                };
                format!("    files: {{ path: {path}, {kind} }}\n")
            }
            ReadFrom::HttpPoll {
                url,
                records,
                every,
            } => {
                let records = records
                    .as_ref()
                    .map(|records| format!(", records: {}", quoted(&without_variables(records))));
                format!(
                    "    http: {{ url: {}, every: {}s{} }}\n",
                    quoted(url),
                    every.as_secs().max(1),
                    records.unwrap_or_default()
                )
            }
            ReadFrom::HttpStream { url } => format!("    http: {{ url: {} }}\n", quoted(url)),
        };
        format!(
            "{schema}description: {about}\nsources:\n  {job}.{table}:\n{read}\
             lake: {{ inline_rows: 1000 }}\nschema: {job}\nmodels: [{job}]\n\
             trigger: {{ max_rows: 100000, max_wait: 20ms, max_bytes: 16MiB }}\n",
            about = scalar(&self.about()),
            job = self.job,
            table = names.table,
        )
    }

    /// What the source is, in a word or two, without anything that could be a variable.
    pub(super) fn about(&self) -> String {
        let from = match self.from {
            ReadFrom::HttpPoll { .. } | ReadFrom::HttpStream { .. } => {
                "an HTTP endpoint".to_owned()
            }
            other => other.describe().replace(['`', '$', '{', '}'], ""),
        };
        format!("Records of {from}")
    }
}
