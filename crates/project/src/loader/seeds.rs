//! Seeds: their headers, types and names.

use factmill_core::diagnostic::Location;
use factmill_core::table::TableName;
use factmill_core::types::DeclaredType;

use super::Context;
use crate::discover::{SeedFile, beginning};
use crate::identifier;
use crate::nearest;
use crate::seed::{Seed, SeedColumn};
use crate::settings::Settings;
use crate::yaml::{Content, Found, Node};

/// All enabled seeds, by name.
pub(super) fn load(context: &Context<'_>, files: &[SeedFile], found: &mut Found) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    for file in files {
        let Some(seed) = seed(context, file, found) else {
            continue;
        };
        if let Some(first) = seeds.iter().find(|first| first.name == seed.name) {
            let message = format!(
                "seed `{}` stands twice, first in {}",
                seed.name,
                first.file.display()
            );
            found.error(&beginning(&seed.file), message);
            continue;
        }
        seeds.push(seed);
    }
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

fn seed(context: &Context<'_>, file: &SeedFile, found: &mut Found) -> Option<Seed> {
    let name = file.fqn.last()?.clone();
    let properties = context
        .properties
        .seeds
        .iter()
        .find(|properties| properties.name == name);
    let mut settings = Settings::of_tree(
        context.dbt.seeds.as_ref(),
        &context.dbt.name,
        &file.fqn,
        found,
    );
    settings.apply_properties(properties, found);
    settings.render(context.jinja, found);
    if !settings.is_enabled(found) {
        return None;
    }
    let at = beginning(&file.path);
    let schema = settings.text("schema", found);
    let relation = TableName {
        schema: context
            .jinja
            .schema_name(schema.as_deref(), &name, &mut found.errors),
        name: settings
            .text("alias", found)
            .unwrap_or_else(|| name.clone()),
    };
    identifier::check_schema(
        &relation.schema,
        settings.get("schema").map_or(&at, |node| &node.location),
        found,
    );
    identifier::check_table(
        &relation.name,
        settings.get("alias").map_or(&at, |node| &node.location),
        found,
    );
    let delimiter = delimiter(&settings, found);
    let header = header(context, file, delimiter, found)?;
    let columns = columns(&header, settings.get("column_types"), found);
    let (description, described, tests) = properties
        .map(|properties| {
            (
                properties.description.clone(),
                properties.columns.clone(),
                properties.tests.clone(),
            )
        })
        .unwrap_or_default();
    Some(Seed {
        name,
        relation,
        file: file.path.clone(),
        delimiter,
        columns,
        properties: described,
        description,
        tags: settings.tags(),
        tests,
    })
}

fn delimiter(settings: &Settings, found: &mut Found) -> u8 {
    let Some(text) = settings.text("delimiter", found) else {
        return b',';
    };
    match text.as_bytes() {
        [byte] => *byte,
        _ => {
            if let Some(node) = settings.get("delimiter") {
                found.error(
                    &node.location,
                    format!("expected one ASCII character for `delimiter`, found `{text}`"),
                );
            }
            b','
        }
    }
}

/// The names in the first line.
fn header(
    context: &Context<'_>,
    file: &SeedFile,
    delimiter: u8,
    found: &mut Found,
) -> Option<Vec<String>> {
    let at = beginning(&file.path);
    let mut reader = match csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_path(context.dir.join(&file.path))
    {
        Ok(reader) => reader,
        Err(error) => {
            found.error(&at, format!("could not be read: {error}"));
            return None;
        }
    };
    let header = match reader.headers() {
        Ok(header) => header,
        Err(error) => {
            found.error(&at, format!("the header could not be read: {error}"));
            return None;
        }
    };
    let names: Vec<String> = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    if names.is_empty() {
        found.error(
            &at,
            "expected a header with the names of the columns, found an empty file",
        );
        return None;
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            found.error(
                &at,
                format!("column {} has no name in the header", index + 1),
            );
        } else if names[..index].contains(name) {
            found.error(&at, format!("column `{name}` stands twice in the header"));
        }
    }
    Some(names)
}

fn columns(header: &[String], types: Option<&Node>, found: &mut Found) -> Vec<SeedColumn> {
    if let Some(node) = types
        && !matches!(node.content, Content::Map(_))
    {
        found.error(
            &node.location,
            format!(
                "expected a map for `column_types`, found {}",
                node.describe()
            ),
        );
    }
    let entries = types.map(Node::entries).unwrap_or_default();
    for entry in entries.iter().filter(|entry| !header.contains(&entry.key)) {
        let help = nearest::help(&entry.key, "columns", header.iter().map(String::as_str));
        found.error_with_help(
            &entry.key_location,
            format!("the header has no column `{}`", entry.key),
            help,
        );
    }
    let declared = |name: &String, found: &mut Found| {
        let node = &entries.iter().find(|entry| entry.key == *name)?.value;
        declared_type(node.text().unwrap_or_default(), &node.location, found)
    };
    header
        .iter()
        .map(|name| SeedColumn {
            data_type: declared(name, found),
            name: name.clone(),
        })
        .collect()
}

fn declared_type(text: &str, at: &Location, found: &mut Found) -> Option<DeclaredType> {
    DeclaredType::parse(text)
        .map_err(|error| found.error(at, error.to_string()))
        .ok()
}
