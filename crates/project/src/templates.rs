//! The templates of a loaded project, kept so that models can be rendered into another schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::table::TableName;

use crate::jinja::{Jinja, Names, SourceFile};
use crate::model::Model;
use crate::rendered::Rendered;

/// What a project's SQL is rendered from; a project that was not loaded has none.
#[derive(Debug, Clone, Default)]
pub struct Templates(Option<Arc<Loaded>>);

/// The templates of a loaded project.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) jinja: Jinja,
    pub(crate) names: Arc<Names>,
    /// The file of each model.
    pub(crate) models: BTreeMap<String, SourceFile>,
    /// Where models read `this`.
    pub(crate) uses_this: BTreeMap<String, Location>,
    /// The model and seed paths.
    pub(crate) roots: Vec<PathBuf>,
}

impl Templates {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self(Some(Arc::new(loaded)))
    }

    /// Where a model reads `this`, if it does.
    pub(crate) fn this_in(&self, model: &str) -> Option<&Location> {
        self.0.as_ref()?.uses_this.get(model)
    }

    /// Renders models anew, with their relations as they stand in `models` and all others as they
    /// were loaded.
    pub(crate) fn render_into(&self, models: &mut [Model], found: &mut Vec<Diagnostic>) {
        let Some(loaded) = &self.0 else {
            return;
        };
        let mut names = (*loaded.names).clone();
        names.refs.extend(
            models
                .iter()
                .map(|model| (model.name.clone(), model.relation.clone())),
        );
        let names = Arc::new(names);
        for model in models {
            let file = loaded.models.get(&model.name);
            let rendered =
                file.and_then(|file| loaded.jinja.render(file, &names, &model.relation, found));
            if let Some((sql, _)) = rendered {
                model.sql = sql;
            }
        }
    }

    /// Renders a model anew with other variables.
    pub(crate) fn render_with(
        &self,
        model: &mut Model,
        vars: &BTreeMap<String, serde_json::Value>,
        environment: &BTreeMap<String, String>,
        found: &mut Vec<Diagnostic>,
    ) {
        let Some(loaded) = &self.0 else {
            return;
        };
        let jinja = loaded.jinja.with(vars, environment);
        let file = loaded.models.get(&model.name);
        let rendered =
            file.and_then(|file| jinja.render(file, &loaded.names, &model.relation, found));
        if let Some((sql, _)) = rendered {
            model.sql = sql;
        }
    }

    /// Renders a query that is no model; without templates, nothing is to be rendered.
    pub(crate) fn query(
        &self,
        text: &str,
        file: &Path,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Rendered> {
        let loaded = self.0.as_ref()?;
        let file = SourceFile {
            path: file.to_owned(),
            text: text.to_owned(),
        };
        let nowhere = TableName {
            schema: String::new(),
            name: String::new(),
        };
        let (rendered, _) = loaded.jinja.render(&file, &loaded.names, &nowhere, found)?;
        Some(rendered)
    }

    /// The first folder of models, relative to the project.
    pub(crate) fn model_folder(&self) -> &Path {
        let first = self.0.iter().flat_map(|loaded| &loaded.roots).next();
        first.map_or(Path::new("models"), PathBuf::as_path)
    }

    /// The path of a file below the model or seed path that it lies in.
    pub(crate) fn below_root<'f>(&self, file: &'f Path) -> &'f Path {
        let roots = self.0.iter().flat_map(|loaded| &loaded.roots);
        roots
            .filter_map(|root| file.strip_prefix(root).ok())
            .next()
            .unwrap_or(file)
    }
}
