//! The dbt project: discovered, parsed, rendered, resolved, selected; a typed graph of models.
//!
//! [`Project::load`] reads a folder as dbt does (`dbt_project.yml`, SQL models, YAML beside them,
//! seeds, macros) and, next to it, factmill's `jobs/*.yml`. What is wrong comes back as one list of
//! diagnostics with file, line and column. No DataFusion here: models leave as rendered SQL text
//! whose every place can be traced to the model's file ([`Rendered::locate`]).
//!
//! # Names of relations in rendered SQL
//! A source is `"lake"."<group>"."<table>"`, three parts; a model or a seed is
//! `"<schema>"."<alias>"`, two parts. A model's schema is what dbt gives it: the answer of the
//! project's macro `generate_schema_name`, or dbt's default where there is none. A job writes all
//! of its models into the job's own schema instead ([`Project::job_models`]), which is what lets
//! two jobs run the same models.

pub mod infer;
pub mod job;
pub mod model;
pub mod nearest;
pub mod project;
pub mod rendered;
pub mod scaffold;
pub mod seed;
pub mod select;
pub mod source;
pub mod unit_test;
pub mod yaml;

mod dbt_project;
mod discover;
mod graph;
mod identifier;
mod jinja;
mod job_models;
mod loader;
mod properties;
mod settings;
mod templates;

pub use job::{Job, job_schema};
pub use model::{Dependency, Materialized, Model};
pub use project::{LoadOptions, Project, Target};
pub use rendered::Rendered;
pub use seed::Seed;
pub use select::Selection;
pub use source::{ProjectSource, Reference};
pub use templates::Templates;
pub use unit_test::UnitTest;
