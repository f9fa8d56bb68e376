//! Postgres: version, rights, settings, and whether what is there fits the jobs.

use factmill_connect::sink::postgres::{self, Examined, WarehouseError};
use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;

use super::report::Report;
use crate::config::Warehouse;
use crate::failure::chain;

/// The supported major versions.
const SUPPORTED: std::ops::RangeInclusive<i32> = 14..=18;

/// Connections that one stream may hold: epochs, control, and a rebuild beside them.
const NEEDED_CONNECTIONS: i64 = 5;

/// Checks the server.
pub(super) async fn examine(settings: &Warehouse) -> Report {
    let mut report = Report::of("warehouse");
    let warehouse = match postgres::Warehouse::connect(settings.config()).await {
        Ok(warehouse) => warehouse,
        Err(error) => {
            refused(&error, settings, &mut report);
            return report;
        }
    };
    report.ok("server", warehouse.server());
    match warehouse.examine().await {
        Ok(examined) => judge(&examined, &mut report),
        Err(error) => report.failed("server", chain(&error), "see the server's log"),
    }
    match warehouse.check_schema().await {
        Ok(()) => report.ok("schema factmill", "of this version"),
        Err(WarehouseError::NotMigrated { found: None }) => {
            report.ok("schema factmill", "not there yet; the first run makes it");
        }
        Err(WarehouseError::NotMigrated { found: Some(found) }) => {
            report.ok(
                "schema factmill",
                format!("of version {found}; the next run migrates it"),
            );
        }
        Err(error) => report.failed(
            "schema factmill",
            chain(&error),
            "use the newer factmill that has migrated it",
        ),
    }
    report
}

fn refused(error: &WarehouseError, settings: &Warehouse, report: &mut Report) {
    let found = chain(error);
    match error.kind() {
        ErrorKind::Configuration => report.failed(
            "login",
            found,
            "check the user, its password and the database in `warehouse.url`, and `warehouse.tls`",
        ),
        _ => report.unreachable(
            "server",
            found,
            format!(
                "start it, or correct `warehouse.url` of the profile ({})",
                settings.url
            ),
        ),
    }
}

fn judge(examined: &Examined, report: &mut Report) {
    let version = format!("{}.{}", examined.major(), examined.version % 10_000);
    if SUPPORTED.contains(&examined.major()) {
        report.ok("version", version);
    } else {
        report.failed("version", version, "use Postgres 14 to 18");
    }
    let user = &examined.user;
    if examined.may_create_schemas {
        report.ok("rights", format!("{user} may create schemas"));
    } else {
        report.failed(
            "rights",
            format!("{user} may not create schemas in {}", examined.database),
            format!(
                "grant create on database \"{}\" to \"{user}\"",
                examined.database
            ),
        );
    }
    if !examined.is_writable {
        report.failed(
            "writes",
            "the server is read-only",
            "connect to the primary: target_session_attrs=read-write in `warehouse.url`",
        );
    }
    if examined.fsync && examined.full_page_writes {
        report.ok(
            "durability",
            format!("synchronous_commit = {}", examined.synchronous_commit),
        );
    } else {
        report.warning(
            "durability",
            "fsync or full_page_writes is off: a crash of the machine may lose or break tables",
            "alter system set fsync = on; alter system set full_page_writes = on; and reload",
        );
    }
    if examined.encoding != "UTF8" {
        report.failed(
            "encoding",
            examined.encoding.clone(),
            "create the database with encoding 'UTF8' template template0",
        );
    }
    let free = i64::from(examined.connections) - examined.connections_used;
    if free < NEEDED_CONNECTIONS {
        report.warning(
            "connections",
            format!("{free} of {} are free", examined.connections),
            "raise max_connections, or end sessions that nobody uses",
        );
    } else {
        report.ok(
            "connections",
            format!("{free} of {} are free", examined.connections),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::{Outcome, worst};

    fn good() -> Examined {
        Examined {
            version: 150_014,
            user: "me".into(),
            database: "bank".into(),
            may_create_schemas: true,
            is_writable: true,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".into(),
            encoding: "UTF8".into(),
            connections: 97,
            connections_used: 3,
        }
    }

    fn judged(examined: &Examined) -> Outcome {
        let mut report = Report::of("warehouse");
        judge(examined, &mut report);
        worst(&report.into_checks())
    }

    #[test]
    fn each_thing_that_is_wrong_is_found() {
        assert_eq!(judged(&good()), Outcome::Ok);
        assert_eq!(
            judged(&Examined {
                version: 130_002,
                ..good()
            }),
            Outcome::Failed
        );
        assert_eq!(
            judged(&Examined {
                may_create_schemas: false,
                ..good()
            }),
            Outcome::Failed
        );
        assert_eq!(
            judged(&Examined {
                is_writable: false,
                ..good()
            }),
            Outcome::Failed
        );
        assert_eq!(
            judged(&Examined {
                encoding: "LATIN1".into(),
                ..good()
            }),
            Outcome::Failed
        );
        assert_eq!(
            judged(&Examined {
                fsync: false,
                ..good()
            }),
            Outcome::Warning
        );
        assert_eq!(
            judged(&Examined {
                connections_used: 95,
                ..good()
            }),
            Outcome::Warning
        );
    }
}
