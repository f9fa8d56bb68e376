//! YAML with places: every key and value knows its line and column.
//!
//! Two ways to read a [`Node`], one for each kind of file:
//! - factmill's own files (`factmill.yml`, `jobs/*.yml`, `config.meta.factmill`) have one Rust type
//!   each, from which schemars makes the JSON Schema. [`load`] checks the text against that same
//!   schema, so that what editors complete is what the program accepts, and then fills the type.
//! - dbt's files are dbt's: [`Fields`] takes the keys that are needed, knows the others by name, and
//!   takes a key that nobody knows for a typing error only where a known one is near.

mod fields;
mod load;
mod node;
mod parse;
mod scalar;
mod schema;
mod units;
mod variables;

pub(crate) use fields::texts;
pub use fields::{Fields, Found};
pub use load::{Loaded, load, read_node};
pub use node::{Content, Entry, Node};
pub use parse::parse;
pub use scalar::{Plain, Scalar};
pub use units::{ByteSize, Period};
pub use variables::Variables;
