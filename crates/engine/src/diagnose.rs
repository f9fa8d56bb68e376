//! What DataFusion says of a model's SQL, as diagnostics that point into the model's file.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::sql::sqlparser::parser::ParserError;
use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_planner::Parsed;
use factmill_project::Rendered;

/// A SQL text that is being compiled, and the names that it may use.
pub(crate) struct Text<'a> {
    pub(crate) sql: &'a Rendered,
    /// Once it is parsed.
    pub(crate) statement: Option<&'a Parsed>,
    /// Known relations, as they are written.
    pub(crate) relations: &'a BTreeSet<String>,
    pub(crate) state: &'a SessionState,
}

impl Text<'_> {
    /// Everything that an error says is wrong, at least one thing.
    pub(crate) fn diagnose(&self, error: &DataFusionError) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        for error in error.iter() {
            let diagnostic = self.one(error);
            if !found.contains(&diagnostic) {
                found.push(diagnostic);
            }
        }
        found
    }

    /// What the analyzer refused in a plan whose names are all known: mostly types.
    pub(crate) fn diagnose_types(&self, error: &DataFusionError, plan: &LogicalPlan) -> Diagnostic {
        let mut diagnostic = self.one(error);
        if spanned(error).is_none()
            && let Some(span) = ill_typed(plan)
        {
            diagnostic.location = Some(self.at(span));
        }
        diagnostic
    }

    /// A place in the text.
    pub(crate) fn at(&self, span: Span) -> Location {
        self.sql
            .locate(span.start.line as usize, span.start.column as usize)
    }

    /// The start of the text.
    pub(crate) fn start(&self) -> Location {
        self.sql.locate(1, 1)
    }

    fn one(&self, error: &DataFusionError) -> Diagnostic {
        if let DataFusionError::SQL(error, _) = error.find_root() {
            return self.syntax(error);
        }
        let location =
            spanned(error).map_or_else(|| self.place_of_call(error), |span| self.at(span));
        match error.find_root() {
            DataFusionError::SchemaError(inner, _) => schema_error(location, inner),
            root => {
                let message = root.strip_backtrace();
                let message = message.lines().next().unwrap_or_default();
                let message = message
                    .trim_start_matches("Error during planning: ")
                    .trim_start_matches("This feature is not implemented: ")
                    .trim_start_matches("type_coercion\ncaused by\n");
                if let Some(name) = quoted_after(message, "Invalid function '") {
                    return self.unknown_function(location, name);
                }
                if let Some(name) = error
                    .diagnostic()
                    .and_then(|diagnostic| quoted_after(&diagnostic.message, "table '"))
                {
                    return self.unknown_relation(location, name);
                }
                Diagnostic::at(location, lower_first(message))
            }
        }
    }

    fn syntax(&self, error: &ParserError) -> Diagnostic {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                message.as_str()
            }
            ParserError::RecursionLimitExceeded => "nested too deeply",
        };
        let (message, location) = match message.rsplit_once(" at Line: ") {
            Some((before, place)) => {
                let mut numbers = place
                    .split(", Column: ")
                    .map(|number| number.trim().parse::<usize>());
                match (numbers.next(), numbers.next()) {
                    (Some(Ok(line)), Some(Ok(column))) => (before, self.sql.locate(line, column)),
                    _ => (message, self.start()),
                }
            }
            None => (message, self.start()),
        };
        Diagnostic::at(location, format!("SQL syntax: {}", lower_first(message)))
    }

    fn unknown_function(&self, location: Location, name: &str) -> Diagnostic {
        let known = self
            .state
            .scalar_functions()
            .keys()
            .chain(self.state.aggregate_functions().keys())
            .chain(self.state.window_functions().keys());
        let nearest = nearest(name, known.map(String::as_str));
        let diagnostic = Diagnostic::at(location, format!("unknown function `{name}`"));
        match nearest {
            Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
            None => diagnostic.help(
                "models are written in DataFusion SQL, which has most of Postgres's functions",
            ),
        }
    }

    fn unknown_relation(&self, location: Location, name: &str) -> Diagnostic {
        let name = name.trim_start_matches("warehouse.").replace('"', "");
        let diagnostic = Diagnostic::at(location, format!("unknown relation `{name}`"));
        match nearest(&name, self.relations.iter().map(String::as_str)) {
            Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
            None if self.relations.is_empty() => diagnostic,
            None => diagnostic.help(format!(
                "known here: {}",
                listed(self.relations.iter().map(String::as_str))
            )),
        }
    }

    /// DataFusion names the function whose arguments do not fit, but not its place.
    fn place_of_call(&self, error: &DataFusionError) -> Location {
        let message = error.strip_backtrace();
        let named =
            quoted_after(&message, "call to '").or_else(|| quoted_after(&message, "Function '"));
        named
            .and_then(|name| self.statement?.find_call(name))
            .map_or_else(
                || self.start(),
                |(line, column)| self.sql.locate(line, column),
            )
    }
}

/// The name nearest to what was written, at most a third of it away.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    known
        .map(|name| {
            (
                strsim::damerau_levenshtein(&written, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| *distance <= name.chars().count().div_ceil(3))
        .min()
        .map(|(_, name)| name)
}

fn schema_error(location: Location, error: &SchemaError) -> Diagnostic {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let of = field
                .relation
                .as_ref()
                .map(|relation| format!(" in `{relation}`"))
                .unwrap_or_default();
            let diagnostic =
                Diagnostic::at(location, format!("unknown column `{}`{of}", field.name));
            let names: BTreeSet<&str> = valid_fields
                .iter()
                .filter(|valid| field.relation.is_none() || valid.relation == field.relation)
                .map(|valid| valid.name.as_str())
                .collect();
            match nearest(&field.name, names.iter().copied()) {
                Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
                None if names.is_empty() => diagnostic,
                None => diagnostic.help(format!(
                    "the columns here are {}",
                    listed(names.into_iter())
                )),
            }
        }
        SchemaError::AmbiguousReference { field } => Diagnostic::at(
            location,
            format!(
                "column `{}` stands in more than one relation here",
                field.name
            ),
        )
        .help(format!(
            "write the relation before it, as in `t.{}`",
            field.name
        )),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Diagnostic::at(
            location,
            format!("column `{name}` stands twice in one select"),
        )
        .help("give one of them another name with `as`"),
    }
}

fn spanned(error: &DataFusionError) -> Option<Span> {
    error.diagnostic().and_then(|diagnostic| diagnostic.span)
}

/// The first column of the innermost expression whose types do not fit.
fn ill_typed(plan: &LogicalPlan) -> Option<Span> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        node.apply_expressions(|expr| {
            if found.is_none() && !fits(expr, &schema) {
                found = innermost(expr, &schema);
            }
            Ok(if found.is_some() {
                TreeNodeRecursion::Stop
            } else {
                TreeNodeRecursion::Continue
            })
        })
    });
    walked.ok().and(found)
}

fn fits(expr: &Expr, schema: &DFSchema) -> bool {
    expr.clone()
        .rewrite(&mut TypeCoercionRewriter::new(schema))
        .is_ok()
}

fn innermost(expr: &Expr, schema: &DFSchema) -> Option<Span> {
    let mut inner = None;
    let _ = expr.apply_children(|child| {
        if !fits(child, schema) {
            inner = innermost(child, schema);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    inner.or_else(|| {
        let mut first = None;
        let _ = expr.apply(|expr| {
            if let Expr::Column(column) = expr {
                first = column.spans().first();
            }
            Ok(if first.is_some() {
                TreeNodeRecursion::Stop
            } else {
                TreeNodeRecursion::Continue
            })
        });
        first
    })
}

fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(prefix)?;
    rest.split_once('\'').map(|(name, _)| name)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn lower_first(message: &str) -> String {
    let mut characters = message.trim_end_matches('.').chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
