//! The catalog of sources: what the lake keeps, and the tables of Postgres that are sources too.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use factmill_project::ProjectSource;

use crate::reference::{self, Databases};

/// The lake's catalog, with the references of a project in it.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) lake: Option<Arc<dyn CatalogProvider>>,
    pub(super) references: Arc<[ProjectSource]>,
    pub(super) databases: Databases,
}

impl Sources {
    fn groups(&self) -> impl Iterator<Item = &str> {
        self.references.iter().map(|source| source.name.group())
    }
}

impl CatalogProvider for Sources {
    fn schema_names(&self) -> Vec<String> {
        let in_lake = self.lake.as_ref().map(|lake| lake.schema_names());
        let mut names: BTreeSet<String> = in_lake.into_iter().flatten().collect();
        names.extend(self.groups().map(str::to_owned));
        names.into_iter().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let in_lake = self.lake.as_ref().and_then(|lake| lake.schema(name));
        if !self.groups().any(|group| group == name) {
            return in_lake;
        }
        Some(Arc::new(Group {
            name: name.to_owned(),
            in_lake,
            references: Arc::clone(&self.references),
            databases: self.databases.clone(),
        }))
    }
}

/// A block of sources, some of which are references.
#[derive(Debug)]
struct Group {
    name: String,
    in_lake: Option<Arc<dyn SchemaProvider>>,
    references: Arc<[ProjectSource]>,
    databases: Databases,
}

impl Group {
    fn of_group(&self) -> impl Iterator<Item = &ProjectSource> {
        let references = self.references.iter();
        references.filter(|source| source.name.group() == self.name)
    }
}

#[async_trait]
impl SchemaProvider for Group {
    fn table_names(&self) -> Vec<String> {
        let in_lake = self.in_lake.as_ref().map(|lake| lake.table_names());
        let mut names: BTreeSet<String> = in_lake.into_iter().flatten().collect();
        names.extend(self.of_group().map(|source| source.name.table().to_owned()));
        names.into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(source) = self.of_group().find(|source| source.name.table() == name) {
            return reference::table(source, &self.databases).await.map(Some);
        }
        match &self.in_lake {
            Some(lake) => lake.table(name).await,
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.of_group().any(|source| source.name.table() == name)
            || self
                .in_lake
                .as_ref()
                .is_some_and(|lake| lake.table_exist(name))
    }
}
