//! Databases beside the warehouse: whether they answer, and have the tables that models read.

use std::collections::BTreeMap;

use factmill_connect::sink::postgres;
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use factmill_project::ProjectSource;

use super::report::Report;
use crate::config::Warehouse;
use crate::failure::chain;

/// Checks each of them.
pub(super) async fn examine(
    databases: &BTreeMap<String, Warehouse>,
    sources: &[ProjectSource],
) -> Report {
    let mut report = Report::of("databases");
    for (name, settings) in databases {
        let database = match postgres::Warehouse::connect(settings.config()).await {
            Ok(database) => database,
            Err(error) if error.kind() == ErrorKind::Configuration => {
                let mend = format!("check `databases.{name}` of the profile");
                report.failed(name, chain(&error), mend);
                continue;
            }
            Err(error) => {
                let mend = format!("start it, or correct `databases.{name}.url` of the profile");
                report.unreachable(name, chain(&error), mend);
                continue;
            }
        };
        report.ok(name, database.server());
        let references = sources
            .iter()
            .filter_map(|source| source.reference.as_ref());
        for reference in references.filter(|read| read.database.as_ref() == Some(name)) {
            let check = format!("{name}: {}", reference.table);
            match database.table_reader(&reference.table).await {
                Ok(Some(_)) => report.ok(check, "can be read"),
                Ok(None) => {
                    let mend =
                        "create it, or correct the source; the user needs the right to read it";
                    report.failed(check, "not there", mend);
                }
                Err(error) => report.failed(check, chain(&error), "grant the user select on it"),
            }
        }
    }
    report
}
