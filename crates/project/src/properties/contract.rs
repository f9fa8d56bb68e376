//! A source's contract: the columns that its records have, and what they must keep.

use std::time::Duration;

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::position::SourceName;
use factmill_core::source_schema::{ColumnOrigin, SourceColumn, SourceSchema};
use factmill_core::table::TableName;
use factmill_core::types::DeclaredType;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{DeclaredSource, columns, config_tags, factmill_meta, tests};
use crate::nearest;
use crate::source::{ProjectSource, Reference};
use crate::yaml::{Fields, Found, Node, Period, Variables, read_node};

/// Keys of a source block that factmill does not read.
pub(super) const OTHER_GROUP_KEYS: [&str; 10] = [
    "database",
    "schema",
    "loader",
    "loaded_at_field",
    "loaded_at_query",
    "meta",
    "freshness",
    "quoting",
    "overrides",
    "catalog",
];
/// Keys of a source table that factmill does not read.
const OTHER_TABLE_KEYS: [&str; 7] = [
    "identifier",
    "loaded_at_field",
    "loaded_at_query",
    "freshness",
    "quoting",
    "external",
    "loader",
];

/// Columns with this prefix are factmill's own.
const RESERVED: &str = "_factmill_";

/// `config.meta.factmill` of a source table.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceMeta {
    /// The column that holds the event time.
    event_time: Option<String>,
    /// The zone of timestamps without an offset, an IANA name.
    time_zone: Option<String>,
    /// The columns that say what a record is about, where records are changes: the newest one of a
    /// key holds, one without payload deletes its key.
    #[serde(default)]
    key: Vec<String>,
    /// The table is kept in Postgres by somebody else, and models read it as it is.
    postgres: Option<PostgresMeta>,
}

/// A table of Postgres.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PostgresMeta {
    /// Its database, by the name that it has under `databases` of the profile; the warehouse's own by
    /// default.
    database: Option<String>,
    /// Its schema and name, as in `crm.customers`.
    table: String,
    /// How often a stream looks whether it changed; a minute by default.
    refresh: Option<Period>,
    /// The column whose largest value grows with every change, such as `updated_at`; without it the
    /// tables that read this one are rebuilt with every look.
    watermark: Option<String>,
}

/// `config.meta.factmill` of a column of a source.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ColumnMeta {
    /// A record without a value is a dead letter.
    #[serde(default)]
    not_null: bool,
    /// A record with another value is a dead letter.
    #[serde(default)]
    accepted_values: Vec<String>,
    /// `kafka.key`, `kafka.timestamp`, … or a path into the payload such as `customer.city`.
    from: Option<String>,
}

/// One table of a source block; `tags` are the block's.
pub(super) fn table(
    node: &Node,
    group: &str,
    tags: &[String],
    found: &mut Found,
) -> Option<DeclaredSource> {
    let fields = Fields::of(node, "a source table", found)?;
    let name = fields.required_text("name", found);
    let description = fields.text("description", found);
    let mut tests = tests::of(&fields, None, found);
    let meta: SourceMeta = typed(factmill_meta(&fields, found), found);
    let mut all_tags = [
        tags,
        &fields.texts("tags", found),
        &config_tags(fields.get("config"), found),
    ]
    .concat();
    all_tags.sort();
    all_tags.dedup();
    let nodes = fields.list("columns", found);
    fields.finish(&OTHER_TABLE_KEYS, found);

    let (mut declared, mut untyped, mut descriptions) = (Vec::new(), Vec::new(), Vec::new());
    for column_node in nodes {
        let Some(column) = column(column_node, found) else {
            continue;
        };
        if declared
            .iter()
            .any(|known: &SourceColumn| known.name == column.name)
        {
            found.error(
                column_node.locate(&["name"]),
                format!("column `{}` is declared twice", column.name),
            );
            continue;
        }
        tests.extend(column.tests);
        descriptions.extend(column.description.map(|text| (column.name.clone(), text)));
        match column.data_type {
            Some(data_type) => declared.push(SourceColumn {
                name: column.name,
                data_type,
                origin: column.origin,
                not_null: column.meta.not_null,
                accepted_values: column.meta.accepted_values,
            }),
            None => untyped.push((column.name, column_node.locate(&["name"]).clone())),
        }
    }
    let key = key(meta.key, &declared, node, found);
    if let (false, Some(_)) = (key.is_empty(), &meta.event_time) {
        found.error_with_help(
            meta_place(node, "event_time"),
            "a keyed source is ordered by its log, not by event time",
            "remove `event_time`, or `key` where each record stands for itself",
        );
    }
    let reference = meta
        .postgres
        .and_then(|postgres| reference(postgres, &declared, node, found));
    let location = node.locate(&["name"]).clone();
    let key_place = match key.is_empty() {
        true => location.clone(),
        false => meta_place(node, "key").clone(),
    };
    let schema = SourceSchema {
        key,
        event_time: meta
            .event_time
            .filter(|name| is_event_time(name, &declared, node, found)),
        time_zone: time_zone(meta.time_zone, node, found),
        columns: declared,
    };
    Some(DeclaredSource {
        source: ProjectSource {
            name: SourceName::new(group, name?),
            schema,
            description,
            column_descriptions: descriptions,
            tags: all_tags,
            tests,
            location,
            reference,
        },
        untyped,
        key_place,
    })
}

struct Column {
    name: String,
    description: Option<String>,
    data_type: Option<DeclaredType>,
    origin: ColumnOrigin,
    meta: ColumnMeta,
    tests: Vec<crate::model::DataTest>,
}

fn column(node: &Node, found: &mut Found) -> Option<Column> {
    let fields = Fields::of(node, "a column", found)?;
    let name = fields.required_text("name", found);
    let description = fields.text("description", found);
    let data_type = columns::data_type(&fields, found);
    let meta_node = factmill_meta(&fields, found);
    let meta: ColumnMeta = typed(meta_node, found);
    let tests = tests::of(&fields, name.as_deref(), found);
    fields.get("constraints");
    fields.finish(&columns::OTHER_KEYS, found);
    let name = name?;
    if name.starts_with(RESERVED) {
        let message =
            format!("column `{name}` has the prefix of factmill's own columns, `{RESERVED}`");
        found.error(node.locate(&["name"]), message);
    }
    let origin = match &meta.from {
        None => ColumnOrigin::Field(vec![name.clone()]),
        Some(from) => origin(from).unwrap_or_else(|diagnostic| {
            let at = meta_node.unwrap_or(node).locate(&["from"]).clone();
            found.errors.push(Diagnostic {
                location: Some(at),
                ..diagnostic
            });
            ColumnOrigin::Field(vec![name.clone()])
        }),
    };
    Some(Column {
        name,
        description,
        data_type,
        origin,
        meta,
        tests,
    })
}

/// Reads `from:`.
fn origin(from: &str) -> Result<ColumnOrigin, Diagnostic> {
    const OF_KAFKA: [(&str, ColumnOrigin); 6] = [
        ("key", ColumnOrigin::Key),
        ("timestamp", ColumnOrigin::Timestamp),
        ("topic", ColumnOrigin::Topic),
        ("partition", ColumnOrigin::Partition),
        ("offset", ColumnOrigin::Offset),
        ("headers", ColumnOrigin::Headers),
    ];
    let Some(kafka) = from.strip_prefix("kafka.") else {
        let path: Vec<String> = from.split('.').map(str::to_owned).collect();
        return if path.iter().any(String::is_empty) {
            Err(
                Diagnostic::bare(format!("`{from}` is not a path into the payload"))
                    .help("names joined by dots: `customer.city`"),
            )
        } else {
            Ok(ColumnOrigin::Field(path))
        };
    };
    if let Some(header) = kafka
        .strip_prefix("header.")
        .filter(|header| !header.is_empty())
    {
        return Ok(ColumnOrigin::Header(header.to_owned()));
    }
    let names = OF_KAFKA
        .iter()
        .map(|(name, _)| *name)
        .chain(["header.NAME"]);
    let of_kafka = OF_KAFKA.iter().find(|(name, _)| *name == kafka);
    of_kafka.map(|(_, origin)| origin.clone()).ok_or_else(|| {
        Diagnostic::bare(format!("a Kafka record has no `{kafka}`"))
            .help(nearest::help(kafka, "parts", names))
    })
}

/// The columns of the key that are declared, scalars all of them.
fn key(
    named: Vec<String>,
    columns: &[SourceColumn],
    node: &Node,
    found: &mut Found,
) -> Vec<String> {
    for name in &named {
        let at = meta_place(node, "key");
        match columns.iter().find(|column| column.name == *name) {
            None => {
                let known = columns.iter().map(|column| column.name.as_str());
                let message = format!("key `{name}` is not a column with a data_type here");
                found.error_with_help(at, message, nearest::help(name, "columns", known));
            }
            Some(column) => {
                if let DeclaredType::List(_) | DeclaredType::Struct(_) | DeclaredType::Json =
                    column.data_type
                {
                    let message = format!("key `{name}` is `{}`, no scalar", column.data_type);
                    found.error(at, message);
                }
            }
        }
    }
    named
}

/// The table that a source is, with a watermark that can be compared.
fn reference(
    meta: PostgresMeta,
    columns: &[SourceColumn],
    node: &Node,
    found: &mut Found,
) -> Option<Reference> {
    const A_MINUTE: Duration = Duration::from_secs(60);
    let at = meta_place(node, "postgres");
    let Some((schema, name)) = meta.table.split_once('.') else {
        let message = format!("`{}` is not the name of a table", meta.table);
        found.error_with_help(at, message, "its schema and name: `crm.customers`");
        return None;
    };
    let refresh = meta.refresh.map_or(A_MINUTE, Period::duration);
    if refresh.is_zero() {
        found.error(at, "a table cannot be looked at every 0 s");
    }
    if let Some(watermark) = &meta.watermark
        && !columns.iter().any(|column| column.name == *watermark)
    {
        let known = columns.iter().map(|column| column.name.as_str());
        let message = format!("watermark `{watermark}` is not a column with a data_type here");
        found.error_with_help(at, message, nearest::help(watermark, "columns", known));
    }
    if columns.is_empty() {
        found.error_with_help(
            at,
            "a table that models read declares its columns",
            "add `columns` with a `data_type` each",
        );
    }
    Some(Reference {
        database: meta.database,
        table: TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        },
        refresh,
        watermark: meta.watermark,
    })
}

fn is_event_time(name: &str, columns: &[SourceColumn], node: &Node, found: &mut Found) -> bool {
    let at = meta_place(node, "event_time");
    match columns.iter().find(|column| column.name == name) {
        Some(column)
            if matches!(
                column.data_type,
                DeclaredType::Timestamp | DeclaredType::TimestampTz
            ) =>
        {
            return true;
        }
        Some(column) => {
            let message = format!(
                "event time `{name}` is `{}`, and has to be timestamp or timestamptz",
                column.data_type
            );
            found.error(at, message);
        }
        None => {
            let help = nearest::help(
                name,
                "columns",
                columns.iter().map(|column| column.name.as_str()),
            );
            found.error_with_help(
                at,
                format!("event time `{name}` is not a column with a data_type here"),
                help,
            );
        }
    }
    false
}

fn time_zone(zone: Option<String>, node: &Node, found: &mut Found) -> String {
    let Some(zone) = zone else {
        return "UTC".into();
    };
    if zone.parse::<chrono_tz::Tz>().is_err() {
        let near = nearest::nearest(
            &zone,
            chrono_tz::TZ_VARIANTS.iter().map(|known| known.name()),
        );
        let help = near.map_or("an IANA name such as `Europe/Paris`".into(), |near| {
            format!("did you mean `{near}`?")
        });
        found.error_with_help(
            meta_place(node, "time_zone"),
            format!("no time zone `{zone}`"),
            help,
        );
    }
    zone
}

/// Where a key of a table's `meta.factmill` stands.
fn meta_place<'n>(node: &'n Node, key: &str) -> &'n factmill_core::diagnostic::Location {
    let newer = node
        .get("config")
        .is_some_and(|config| config.get("meta").is_some());
    if newer {
        node.locate(&["config", "meta", "factmill", key])
    } else {
        node.locate(&["meta", "factmill", key])
    }
}

/// A typed part of a file, or its default where it is missing or wrong.
fn typed<T: DeserializeOwned + JsonSchema + Default>(node: Option<&Node>, found: &mut Found) -> T {
    let Some(node) = node else {
        return T::default();
    };
    // dbt has its own way to variables, `env_var()`: a dollar sign here is one
    match read_node::<T>(node.clone(), &Variables::none()) {
        Ok(loaded) => loaded.value,
        Err(errors) => {
            found.errors.extend(Diagnostics::into_vec(errors));
            T::default()
        }
    }
}
