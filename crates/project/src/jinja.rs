//! dbt's Jinja: a template with `ref()`, `source()`, `config()` and macros to SQL.

mod capture;
mod functions;
mod macros;
mod markers;
mod relation;
mod render;
mod scan;
mod value;

pub(crate) use capture::{Captured, Reference};
pub(crate) use functions::Names;
pub(crate) use macros::SourceFile;
pub(crate) use markers::location;
pub(crate) use render::{Jinja, JinjaOptions};
pub(crate) use scan::find_word;
