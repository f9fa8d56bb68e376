//! `config.meta.factmill` of a model.

use factmill_core::document::CollectionName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{ExpectedMaintenance, ModelCollection, ModelMeta};
use crate::yaml::{Found, Node, Period, Variables, read_node};

/// What a model says to factmill.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MetaFile {
    /// The maintenance that the model expects; another one is an error.
    maintenance: Option<MaintenanceWord>,
    /// The least time between the starts of two rebuilds.
    rebuild_every: Option<Period>,
    /// A MongoDB collection that the model's rows go to too: the model has to be row-wise. Documents
    /// are written before the epoch's transaction: where the two differ, the table is right.
    mongo: Option<CollectionFile>,
}

/// A MongoDB collection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CollectionFile {
    /// The database.
    #[schemars(length(min = 1))]
    database: String,
    /// The collection in it.
    #[schemars(length(min = 1))]
    collection: String,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MaintenanceWord {
    Append,
    Upsert,
    Aggregate,
    Recompute,
    Rebuild,
}

pub(super) fn read(node: &Node, found: &mut Found) -> ModelMeta {
    let file: MetaFile = match read_node(node.clone(), &Variables::none()) {
        Ok(loaded) => loaded.value,
        Err(errors) => {
            found.errors.extend(errors.into_vec());
            return ModelMeta::default();
        }
    };
    if file
        .rebuild_every
        .is_some_and(|every| every.duration().is_zero())
    {
        found.error(
            node.locate(&["rebuild_every"]),
            "a model cannot be rebuilt every 0 s",
        );
    }
    ModelMeta {
        maintenance: file.maintenance.map(|word| match word {
            MaintenanceWord::Append => ExpectedMaintenance::Append,
            MaintenanceWord::Upsert => ExpectedMaintenance::Upsert,
            MaintenanceWord::Aggregate => ExpectedMaintenance::Aggregate,
            MaintenanceWord::Recompute => ExpectedMaintenance::Recompute,
            MaintenanceWord::Rebuild => ExpectedMaintenance::Rebuild,
        }),
        rebuild_every: file.rebuild_every.map(Period::duration),
        location: Some(node.locate(&["maintenance"]).clone()),
        mongo: file.mongo.map(|mongo| ModelCollection {
            name: CollectionName {
                database: mongo.database,
                collection: mongo.collection,
            },
            location: node.locate(&["mongo"]).clone(),
        }),
    }
}
