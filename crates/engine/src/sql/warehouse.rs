//! The warehouse as a catalog: its tables, and the project's views and seeds where it has no table
//! of that name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemTable, SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use factmill_core::table::TableName;
use factmill_project::{Model, Project, ProjectSource};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::SqlError;
use crate::error::Work;
use crate::graph::Graph;
use crate::inputs::Inputs;
use crate::placeholder::Relation;
use crate::reading::{self, external};
use crate::seed::SeedRows;
use crate::session::{self, Memory};

#[derive(Debug)]
pub(super) struct WarehouseCatalog(Arc<Tables>);

#[derive(Debug)]
struct Tables {
    inputs: Inputs,
    in_warehouse: BTreeSet<TableName>,
    /// Plans that read placeholders, bound when a query names the view.
    views: BTreeMap<TableName, LogicalPlan>,
    seeds: BTreeMap<TableName, SeedRows>,
    contracts: Vec<ProjectSource>,
}

impl WarehouseCatalog {
    pub(super) async fn open(
        project: &Project,
        models: &[Model],
        inputs: Inputs,
        memory: &Memory,
    ) -> Result<Self, SqlError> {
        let in_warehouse = inputs
            .databases
            .warehouse
            .list()
            .await
            .map_err(SqlError::Warehouse)?;
        let state = session::state(memory, 1, &project.dir)
            .map_err(|error| SqlError::Engine(error.into()))?;
        let (graph, _) = Graph::plan(project, &behind_views(models), state).await;
        let views = graph
            .models
            .into_iter()
            .filter(|planned| planned.model.materialized.is_inlined())
            .map(|planned| (planned.model.relation, planned.plan));
        let seeds = project
            .seeds
            .iter()
            .filter_map(|seed| SeedRows::read(project, seed).ok());
        Ok(Self(Arc::new(Tables {
            inputs,
            in_warehouse: in_warehouse.into_iter().collect(),
            views: views.collect(),
            seeds: seeds.map(|seed| (seed.table.name.clone(), seed)).collect(),
            contracts: project.sources.clone(),
        })))
    }

    /// Every relation, sorted, each once.
    pub(super) fn names(&self) -> impl Iterator<Item = &TableName> {
        self.0.names()
    }
}

/// The views and what they read: a query needs no plan of the other models. Their order is kept.
fn behind_views(models: &[Model]) -> Vec<Model> {
    let mut needed = BTreeSet::new();
    // readers stand behind what they read, so one pass from the end reaches all of it
    for model in models.iter().rev() {
        if model.materialized.is_inlined() || needed.contains(model.name.as_str()) {
            needed.insert(model.name.as_str());
            needed.extend(model.models_read());
        }
    }
    let is_needed = |model: &&Model| needed.contains(model.name.as_str());
    models.iter().filter(is_needed).cloned().collect()
}

impl Tables {
    fn names(&self) -> impl Iterator<Item = &TableName> {
        let all: BTreeSet<&TableName> = self
            .in_warehouse
            .iter()
            .chain(self.views.keys())
            .chain(self.seeds.keys())
            .collect();
        all.into_iter()
    }

    fn table(&self, name: TableName) -> BoxFuture<'_, Result<Option<Arc<dyn TableProvider>>>> {
        async move {
            if self.in_warehouse.contains(&name) {
                let reader = self
                    .inputs
                    .databases
                    .warehouse
                    .table(&name)
                    .await
                    .map_err(external)?;
                return Ok(reader.map(reading::table));
            }
            if let Some(plan) = self.views.get(&name) {
                let known = |relation: &Relation| match relation {
                    Relation::Table(name) if !self.in_warehouse.contains(name) => self.seed(name),
                    _ => None,
                };
                let bound = self
                    .inputs
                    .bind(&Work::Query, plan.clone(), &self.contracts, &known)
                    .await;
                let plan = bound.map_err(|error| DataFusionError::External(Box::new(error)))?;
                return Ok(Some(Arc::new(ViewTable::new(plan, None))));
            }
            Ok(self.seed(&name))
        }
        .boxed()
    }

    fn seed(&self, name: &TableName) -> Option<Arc<dyn TableProvider>> {
        let seed = self.seeds.get(name)?;
        let rows = MemTable::try_new(seed.rows.schema(), vec![vec![seed.rows.clone()]]).ok()?;
        Some(Arc::new(rows))
    }
}

impl CatalogProvider for WarehouseCatalog {
    fn schema_names(&self) -> Vec<String> {
        let schemas: BTreeSet<String> = self.0.names().map(|name| name.schema.clone()).collect();
        schemas.into_iter().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.0.names().any(|table| table.schema == name).then(|| {
            Arc::new(WarehouseSchema {
                name: name.to_owned(),
                tables: Arc::clone(&self.0),
            }) as _
        })
    }
}

#[derive(Debug)]
struct WarehouseSchema {
    name: String,
    tables: Arc<Tables>,
}

impl WarehouseSchema {
    fn table_of(&self, name: &str) -> TableName {
        TableName {
            schema: self.name.clone(),
            name: name.to_owned(),
        }
    }
}

#[async_trait]
impl SchemaProvider for WarehouseSchema {
    fn table_names(&self) -> Vec<String> {
        let of_schema = self
            .tables
            .names()
            .filter(|table| table.schema == self.name);
        of_schema.map(|table| table.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.tables.table(self.table_of(name)).await
    }

    fn table_exist(&self, name: &str) -> bool {
        let name = self.table_of(name);
        self.tables.names().any(|table| *table == name)
    }
}
