//! The files of a new job, written from what was inferred of its source: job file, source, staging
//! model, fact, their tests, a dashboard. In the manner of the shipped jobs, to be read and changed.

mod dashboard;
mod job;
mod lines;
mod properties;
mod sql;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use factmill_core::diagnostic::Diagnostic;

use crate::infer::{Inferred, snake_case};
use crate::job::FileFormat;
use crate::project::Project;

use lines::Line;

/// Where the records of a new job are read. URLs and paths stand as they shall be written: secrets as
/// `${VARIABLE}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// A Kafka topic of JSON documents.
    Kafka {
        /// The topic.
        topic: String,
    },
    /// A MongoDB collection.
    Mongo {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// Whether the server has change streams; else it is polled by `_id`.
        changes: bool,
    },
    /// Files.
    Files {
        /// A file, a folder, or a pattern.
        path: PathBuf,
        /// What stands in them.
        format: FileFormat,
    },
    /// An endpoint that is asked again and again.
    HttpPoll {
        /// Its URL.
        url: String,
        /// JSON pointer to the records in the answer.
        records: Option<String>,
        /// How often.
        every: Duration,
    },
    /// An endpoint whose answer goes on.
    HttpStream {
        /// Its URL.
        url: String,
    },
}

impl ReadFrom {
    /// What it is, for people, such as ``Kafka topic `weather` ``.
    pub fn describe(&self) -> String {
        match self {
            Self::Kafka { topic } => format!("Kafka topic `{topic}`"),
            Self::Mongo {
                database,
                collection,
                ..
            } => format!("MongoDB collection `{database}.{collection}`"),
            Self::Files { path, .. } => {
                let is_one =
                    path.extension().is_some() && !path.to_string_lossy().contains(['*', '?']);
                let what = if is_one { "file" } else { "files" };
                format!("{what} `{}`", path.display())
            }
            Self::HttpPoll { url, .. } | Self::HttpStream { url } => format!("`{url}`"),
        }
    }

    /// What the source's table is called: the topic, the collection, the file without its endings, the
    /// last part of the URL's path that is a word.
    pub fn table(&self) -> String {
        let name = match self {
            Self::Kafka { topic } => topic.clone(),
            Self::Mongo { collection, .. } => collection.clone(),
            Self::Files { path, .. } => {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                name.split('.').next().unwrap_or_default().to_owned()
            }
            Self::HttpPoll { url, .. } | Self::HttpStream { url } => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let path = path.split_once("://").map_or(path, |(_, rest)| rest);
                let is_word = |part: &&str| {
                    part.chars().any(char::is_alphabetic) && !part.contains(['{', '}', '$'])
                };
                let word = path.split('/').skip(1).filter(is_word).last();
                word.unwrap_or_default()
                    .split('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }
        };
        // `stg_` or `fct_` and perhaps the job stand before it
        let name = snake_case(&name, "records");
        let name = name.trim_matches('_');
        name.chars().take(40).collect()
    }

    /// Whether its records are changes of a key, so that one without payload deletes it.
    fn is_keyed(&self) -> bool {
        matches!(self, Self::Mongo { changes: true, .. })
    }
}

/// A job to be written.
#[derive(Debug)]
pub struct Scaffold<'a> {
    /// Its name, checked by [`check_name`].
    pub job: &'a str,
    /// Where it reads.
    pub from: &'a ReadFrom,
    /// What was inferred of the records.
    pub inferred: &'a Inferred,
    /// Now, microseconds since 1970 UTC: the dashboard opens on the time up to it.
    pub now: i64,
}

/// A file to be written, relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub text: String,
}

/// The names that the files of a new job give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The source's table.
    pub table: String,
    /// The staging model's file.
    pub staging: String,
    /// The fact's file.
    pub fact: String,
    /// The fact's table.
    pub fact_table: String,
}

/// Whether a new job can have this name in the project.
///
/// # Errors
/// What is wrong with the name, and one that would do.
pub fn check_name(job: &str, project: &Project) -> Result<(), Diagnostic> {
    /// A schema's name is at most 63 bytes, a model's with the job's name in it too.
    const LONGEST: usize = 40;
    const TAKEN: [&str; 5] = ["factmill", "lake", "information_schema", "public", "seeds"];
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let wrong = |what: &str, other: String| {
        Diagnostic::bare(format!("a job cannot be called {job:?}: {what}"))
            .help(format!("for example `{other}`"))
    };
    if !job.bytes().all(plain) || !job.starts_with(|first: char| first.is_ascii_lowercase()) {
        let ascii: String = job.chars().filter(|c| c.is_ascii()).collect();
        let other = snake_case(&ascii, "my_job");
        let other = other.trim_start_matches(|first: char| !first.is_ascii_lowercase());
        let other: String = other.chars().take(LONGEST).collect();
        let other = if other.is_empty() {
            "my_job".to_owned()
        } else {
            other
        };
        return Err(wrong(
            "its name is one of letters a to z, digits and `_`, and begins with a letter",
            other,
        ));
    }
    if job.len() > LONGEST {
        return Err(wrong(
            &format!("its name has more than {LONGEST} letters"),
            job[..LONGEST].to_owned(),
        ));
    }
    if TAKEN.contains(&job) || job.starts_with("pg_") {
        return Err(wrong(
            "a schema of that name has another use",
            format!("job_{job}"),
        ));
    }
    let is_job = project.jobs.iter().any(|known| known.name == job);
    let is_schema = project.jobs.iter().any(|known| known.schema == job);
    let is_group = project
        .sources
        .iter()
        .any(|source| source.name.group() == job);
    let is_model = project.model(job).is_some();
    for (is_taken, what) in [
        (
            project.name == job,
            "the project is called so, and its name selects every model",
        ),
        (is_job, "there is such a job"),
        (is_schema, "another job writes into a schema of that name"),
        (is_group, "there are sources of that name"),
        (is_model, "there is a model of that name"),
    ] {
        if is_taken {
            return Err(wrong(what, format!("{job}_2")));
        }
    }
    Ok(())
}

impl Scaffold<'_> {
    /// The names that the files give; a model name stands once in a project.
    pub fn names(&self, project: &Project) -> Names {
        let table = self.from.table();
        let model = |prefix: &str| {
            let name = format!("{prefix}_{table}");
            match project.model(&name) {
                None => name,
                Some(_) => format!("{}__{name}", self.job),
            }
        };
        Names {
            staging: model("stg"),
            fact: model("fct"),
            fact_table: format!("fct_{table}"),
            table,
        }
    }

    /// The folder of the job's models.
    pub fn folder(&self, project: &Project) -> PathBuf {
        project.model_folder().join(self.job)
    }

    /// The files, relative to the project.
    pub fn files(&self, project: &Project) -> Vec<NewFile> {
        let names = self.names(project);
        let folder = self.folder(project);
        let lines = lines::of(self.inferred);
        let key = self.key(&lines);
        let staging = folder.join("staging").join(&names.staging);
        let fact = folder.join("marts").join(&names.fact);
        let dashboard = Path::new("grafana/dashboards").join(format!("{}.json", self.job));
        let file = |path: PathBuf, text: String| NewFile { path, text };
        vec![
            file(
                Path::new("jobs").join(format!("{}.yml", self.job)),
                self.job_file(
                    &names,
                    project.dir.join("docs/schemas/job.schema.json").is_file(),
                ),
            ),
            file(folder.join("_sources.yml"), self.sources(&names)),
            file(
                staging.with_extension("sql"),
                self.staging_sql(&names, &lines),
            ),
            file(
                staging.with_extension("yml"),
                self.staging_yml(&names, &lines, &key),
            ),
            file(fact.with_extension("sql"), sql::fact(&names, &lines, &key)),
            file(
                fact.with_extension("yml"),
                self.fact_yml(&names, &lines, &key),
            ),
            file(dashboard, self.dashboard(&names, &lines, &key)),
        ]
    }

    /// The columns of the key, as the models call them.
    fn key(&self, lines: &[Line]) -> Vec<String> {
        let named = |column: &String| {
            let line = lines
                .iter()
                .find(|line| line.column == *column && !line.is_inner);
            line.map(|line| line.name.clone())
        };
        self.inferred.key.iter().filter_map(named).collect()
    }

    /// The event time that the source declares: an instant, and none where a log of changes has an
    /// order of its own.
    fn event_time(&self) -> Option<&str> {
        use crate::infer::Reading;
        let time = self.inferred.time.as_deref()?;
        let column = self
            .inferred
            .columns
            .iter()
            .find(|column| column.name == time)?;
        (column.guess.reading == Reading::AsItIs && !self.from.is_keyed()).then_some(time)
    }

    /// Columns without which a record is of no use.
    fn needs(&self, column: &str) -> bool {
        self.inferred.key.iter().any(|key| key == column)
            || self.inferred.time.as_deref() == Some(column)
    }
}
