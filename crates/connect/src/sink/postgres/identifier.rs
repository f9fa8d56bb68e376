//! Names and texts inside SQL: always quoted.

use factmill_core::position::SourceName;
use factmill_core::table::TableName;

/// Postgres cuts names after this many bytes (`NAMEDATALEN - 1`).
pub(super) const MAX_NAME_BYTES: usize = 63;

/// `name` as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `table` with its schema.
pub(super) fn qualified(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// `text` as a string literal. Where a value can be bound, bind it; this is for DDL and for the
/// last message of an epoch, which take no parameters.
///
/// A session has `standard_conforming_strings` on, so a backslash means itself.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The columns as a list of identifiers.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// A source as the control tables name it: `group.table`, parts with a dot or a quote in quotes.
pub(super) fn source_text(source: &SourceName) -> String {
    let part = |name: &str| {
        if name.contains(['.', '"']) {
            quoted(name)
        } else {
            name.to_owned()
        }
    };
    format!("{}.{}", part(source.group()), part(source.table()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_names() {
        assert_eq!(
            quoted("a\"; drop table b; --"),
            "\"a\"\"; drop table b; --\""
        );
        assert_eq!(literal("o'clock \\ '"), "'o''clock \\ '''");
    }

    #[test]
    fn sources_with_dots_do_not_collide() {
        assert_eq!(
            source_text(&SourceName::new("banking", "transactions")),
            "banking.transactions"
        );
        assert_ne!(
            source_text(&SourceName::new("a.b", "c")),
            source_text(&SourceName::new("a", "b.c"))
        );
    }
}
