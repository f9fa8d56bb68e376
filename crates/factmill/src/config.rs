//! `factmill.yml`: profiles and their connections, with `${VAR}` filled in from the environment
//! and from `.env`.

mod connections;
mod connectors;
mod environment;
mod file;
mod secret;

use std::path::{Path, PathBuf};

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_project::job::Origin;
use factmill_project::yaml::{self, Loaded, Variables};
use factmill_project::{Job, nearest};

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
}

impl Needs {
    /// Everything that reading a project's data takes.
    pub(crate) const DATA: Self = Self {
        kafka: false,
        mongo: false,
        schema_registry: false,
        warehouse: true,
        lake: true,
    };

    /// Everything that streaming these jobs takes.
    pub(crate) fn of(jobs: &[&Job]) -> Self {
        let sources = || jobs.iter().flat_map(|job| &job.sources);
        let reads_collection = sources().any(|source| matches!(source.origin, Origin::Mongo(_)));
        Self {
            kafka: sources().any(|source| source.origin.topic().is_some()),
            mongo: reads_collection || jobs.iter().any(|job| job.raw_store.is_some()),
            schema_registry: sources().any(|source| source.format.needs_registry()),
            ..Self::DATA
        }
    }

    fn has(self, connection: &str) -> bool {
        match connection {
            "kafka" => self.kafka,
            "mongo" => self.mongo,
            "schema_registry" => self.schema_registry,
            "warehouse" => self.warehouse,
            "lake" => self.lake,
            _ => true,
        }
    }
}

/// The chosen profile.
#[derive(Debug, Clone)]
pub(crate) enum Profile {
    /// Private servers in this folder.
    Embedded(PathBuf),
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
        needs: Needs,
        environment: &Environment,
    ) -> Result<Self, Diagnostics> {
        let path = directory.join(FILE);
        if !path.exists() && name == EMBEDDED {
            return Ok(Self::Embedded(directory.join(EMBEDDED_DIRECTORY)));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Diagnostic::bare(format!("cannot read {}: {error}", path.display())).help(format!(
                "profile `{name}` needs a {FILE} beside dbt_project.yml"
            ))
        })?;
        let needed = |path: &[&str]| match path {
            ["profiles", profile] => *profile == name,
            ["profiles", _, connection] => needs.has(connection),
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
        needs: Needs,
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
                    if entry.key != "embedded" {
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
                Diagnostics::finish(found, Self::Embedded(directory.join(inside)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
