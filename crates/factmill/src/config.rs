//! `factmill.yml`: profiles and their connections, with `${VAR}` filled in from the environment
//! and from `.env`.

mod connections;
mod connectors;
mod environment;
mod file;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_project::yaml::{self, Loaded, Variables};
use factmill_project::{Dependency, Job, Model, Project, ProjectSource, nearest};

pub(crate) use connections::{Connections, Kafka, Lake, Mongo, SchemaRegistry, Warehouse};
pub(crate) use environment::Environment;
pub(crate) use file::{FactmillFile, TlsMode};
pub(crate) use secret::ConnectionUrl;

use crate::cli::EMBEDDED;

/// The file's name, beside `dbt_project.yml`.
pub(crate) const FILE: &str = "factmill.yml";

/// Where the embedded profile keeps its data unless it says otherwise.
const EMBEDDED_DIRECTORY: &str = ".factmill";

/// Which connections a command uses; only these need their variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Brokers.
    pub(crate) kafka: bool,
    /// MongoDB.
    pub(crate) mongo: bool,
    /// Where the schemas of Avro and Protobuf values are kept.
    pub(crate) schema_registry: bool,
    /// Postgres.
    pub(crate) warehouse: bool,
    /// The lake's files.
    pub(crate) lake: bool,
    /// Databases of Postgres whose tables models read, by name.
    pub(crate) databases: BTreeSet<String>,
}

impl Needs {
    /// Everything that reading a project's data takes.
    pub(crate) const DATA: Self = Self {
        kafka: false,
        mongo: false,
        schema_registry: false,
        warehouse: true,
        lake: true,
        databases: BTreeSet::new(),
    };

    /// Everything that streaming these jobs takes.
    pub(crate) fn of(jobs: &[&Job]) -> Self {
        let sources = || jobs.iter().flat_map(|job| &job.sources);
        Self {
            kafka: sources().any(|source| source.origin.topic().is_some()),
            mongo: jobs
                .iter()
                .any(|job| job.raw_store.is_some() || job.reads_collections()),
            schema_registry: sources().any(|source| source.format.needs_registry()),
            ..Self::DATA
        }
    }

    /// The same, and the databases that tables of these sources are kept in.
    pub(crate) fn and_databases<'a>(
        mut self,
        sources: impl IntoIterator<Item = &'a ProjectSource>,
    ) -> Self {
        let references = sources
            .into_iter()
            .filter_map(|source| source.reference.as_ref());
        let databases = references.filter_map(|reference| reference.database.clone());
        self.databases.extend(databases);
        self
    }

    /// The same, and the databases that these models read.
    pub(crate) fn and_databases_of(self, project: &Project, models: &[Model]) -> Self {
        let read = models.iter().flat_map(|model| &model.depends_on);
        let sources = read.filter_map(|read| match read {
            Dependency::Source(source) => project.source(source),
            Dependency::Model(_) | Dependency::Seed(_) => None,
        });
        self.and_databases(sources)
    }

    fn has(&self, connection: &str) -> bool {
        match connection {
            "kafka" => self.kafka,
            "mongo" => self.mongo,
            "schema_registry" => self.schema_registry,
            "warehouse" => self.warehouse,
            "lake" => self.lake,
            "databases" => !self.databases.is_empty(),
            _ => true,
        }
    }
}

/// The chosen profile.
#[derive(Debug, Clone)]
pub(crate) enum Profile {
    /// Private servers in this folder.
    Embedded {
        directory: PathBuf,
        /// What is elsewhere although the servers are private.
        databases: BTreeMap<String, Warehouse>,
    },
    /// Servers that run already.
    Servers(Box<Connections>),
}

impl Profile {
    /// Reads the profile `name` of the project in `directory`, as far as `needs` says.
    ///
    /// Without a `factmill.yml` there is the embedded profile only.
    ///
    /// # Errors
    /// Everything that is wrong in the file, at once.
    pub(crate) fn load(
        directory: &Path,
        name: &str,
        needs: &Needs,
        environment: &Environment,
    ) -> Result<Self, Diagnostics> {
        let path = directory.join(FILE);
        if !path.exists() && name == EMBEDDED {
            return Ok(Self::Embedded {
                directory: directory.join(EMBEDDED_DIRECTORY),
                databases: BTreeMap::new(),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Diagnostic::bare(format!("cannot read {}: {error}", path.display())).help(format!(
                "profile `{name}` needs a {FILE} beside dbt_project.yml"
            ))
        })?;
        let needed = |path: &[&str]| match path {
            ["profiles", profile] => *profile == name,
            ["profiles", _, connection] => needs.has(connection),
            ["profiles", _, "databases", database] => needs.databases.contains(*database),
            _ => true,
        };
        let variables = Variables::new(environment.all()).where_needed(&needed);
        let loaded = yaml::load::<FactmillFile>(&text, Path::new(FILE), &variables)?;
        Self::choose(loaded, directory, name, needs)
    }

    fn choose(
        mut loaded: Loaded<FactmillFile>,
        directory: &Path,
        name: &str,
        needs: &Needs,
    ) -> Result<Self, Diagnostics> {
        let Some(profile) = loaded.value.profiles.remove(name) else {
            let profiles = loaded.node.get("profiles");
            let known = profiles.map(yaml::Node::entries).unwrap_or_default();
            let known = known.iter().map(|entry| entry.key.as_str());
            return Err(Diagnostic::at(
                loaded.key_location(&["profiles"]),
                format!("no profile `{name}`"),
            )
            .help(nearest::help(name, "profiles", known))
            .into());
        };
        match &profile.embedded {
            None => {
                let connections = connections::resolve(profile, &loaded, directory, name, needs)?;
                Ok(Self::Servers(Box::new(connections)))
            }
            Some(embedded) => {
                let mut found = Vec::new();
                let entries = loaded
                    .node
                    .get("profiles")
                    .and_then(|profiles| profiles.get(name));
                for entry in entries.map(yaml::Node::entries).unwrap_or_default() {
                    if !["embedded", "databases"].contains(&entry.key.as_str()) {
                        found.push(
                            Diagnostic::at(
                                entry.key_location.clone(),
                                format!("profile `{name}` is embedded and names `{}` too", entry.key),
                            )
                            .help("an embedded profile starts every server itself; use a profile of its own"),
                        );
                    }
                }
                let inside = embedded
                    .directory
                    .as_deref()
                    .unwrap_or(Path::new(EMBEDDED_DIRECTORY));
                let private = directory.join(inside);
                let databases =
                    connections::databases(profile.databases, &loaded, directory, name, needs)?;
                let embedded = Self::Embedded {
                    directory: private,
                    databases,
                };
                Diagnostics::finish(found, embedded)
            }
        }
    }
}

#[cfg(test)]
mod tests;
