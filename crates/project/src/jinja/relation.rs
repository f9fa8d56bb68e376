//! A relation in a template: printed it is its quoted name, and it has dbt's attributes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factmill_core::position::SourceName;
use factmill_core::table::TableName;
use minijinja::value::{Object, ObjectRepr, Value};

/// The catalog that sources stand in.
const LAKE: &str = "lake";

/// What `ref()`, `source()` and `this` are.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    catalog: Option<&'static str>,
    schema: String,
    identifier: String,
    /// Set when a template prints it or looks into it.
    used: Arc<AtomicBool>,
}

impl Relation {
    pub(super) fn table(name: &TableName) -> Self {
        Self {
            catalog: None,
            schema: name.schema.clone(),
            identifier: name.name.clone(),
            used: Arc::default(),
        }
    }

    pub(super) fn source(name: &SourceName) -> Self {
        Self {
            catalog: Some(LAKE),
            schema: name.group().to_owned(),
            identifier: name.table().to_owned(),
            used: Arc::default(),
        }
    }

    pub(super) fn noting_use(self, used: Arc<AtomicBool>) -> Self {
        Self { used, ..self }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(catalog) = self.catalog {
            write!(f, "{}.", quoted(catalog))?;
        }
        write!(f, "{}.{}", quoted(&self.schema), quoted(&self.identifier))
    }
}

/// An identifier as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Object for Relation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.used.store(true, Ordering::Relaxed);
        match key.as_str()? {
            "schema" => Some(self.schema.as_str().into()),
            "identifier" | "name" | "table" => Some(self.identifier.as_str().into()),
            "database" => Some(self.catalog.map_or(Value::from(()), Value::from)),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.used.store(true, Ordering::Relaxed);
        fmt::Display::fmt(self.as_ref(), f)
    }
}
