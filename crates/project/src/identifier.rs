//! Names that become identifiers in the warehouse.

use factmill_core::diagnostic::Location;

use crate::yaml::Found;

/// Postgres cuts longer names off, so two of them could become one.
const MAX_BYTES: usize = 63;
/// Schemas with a meaning of their own.
const RESERVED: [&str; 3] = ["factmill", "lake", "information_schema"];

/// Checks the name of a table or a seed.
pub(crate) fn check_table(name: &str, at: &Location, found: &mut Found) {
    check("table", name, at, found);
}

/// Checks the name of a schema that a model or a job lands in.
pub(crate) fn check_schema(name: &str, at: &Location, found: &mut Found) {
    check("schema", name, at, found);
    if RESERVED.contains(&name) || name.starts_with("pg_") {
        let whose = if name == "factmill" || name == "lake" {
            "factmill"
        } else {
            "Postgres"
        };
        found.error_with_help(
            at,
            format!("schema `{name}` belongs to {whose} itself"),
            "choose another name",
        );
    }
}

fn check(what: &str, name: &str, at: &Location, found: &mut Found) {
    if name.is_empty() {
        found.error(at, format!("the name of a {what} cannot be empty"));
    } else if name.contains('\0') {
        found.error(at, format!("the name of a {what} cannot hold a NUL"));
    } else if name.len() > MAX_BYTES {
        let message = format!(
            "{what} `{name}` has {} bytes, and Postgres takes {MAX_BYTES}",
            name.len()
        );
        found.error_with_help(at, message, "give it a shorter name or `alias`");
    }
}
