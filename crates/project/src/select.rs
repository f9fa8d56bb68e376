//! dbt's node selection: `--select`, `--exclude`, and the `models:` of a job.
//!
//! Terms in one argument joined by commas are an intersection; arguments, and terms set apart by
//! spaces, a union. A term is `[@][[N]+][method:]value[+[N]]`: `N+` takes parents up to N steps
//! away, `+N` children, without N all of them; `@` takes children and all that these need.

mod pattern;
mod term;

use std::collections::{BTreeMap, BTreeSet};

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::position::SourceName;

use crate::model::Dependency;
use crate::project::Project;
use term::{Reach, Term};

/// What a selection took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Models, in topological order.
    pub models: Vec<String>,
    /// Seeds, by name.
    pub seeds: Vec<String>,
    /// Sources, by name.
    pub sources: Vec<SourceName>,
}

/// Everything that can be selected, and who reads whom.
pub(crate) struct Selectable<'p> {
    project: &'p Project,
    reads: BTreeMap<Dependency, BTreeSet<Dependency>>,
    read_by: BTreeMap<Dependency, BTreeSet<Dependency>>,
}

impl Project {
    /// What `--select` and `--exclude` leave; no `select` is everything.
    ///
    /// # Errors
    /// Terms that cannot be read, methods that do not exist, and terms that match nothing, with the
    /// nearest name.
    pub fn select(&self, select: &[String], exclude: &[String]) -> Result<Selection, Diagnostics> {
        let selectable = Selectable::new(self);
        let mut found = Vec::new();
        let mut taken = if select.is_empty() {
            selectable.all()
        } else {
            selectable.union(select, &mut found)
        };
        for left_out in selectable.union(exclude, &mut found) {
            taken.remove(&left_out);
        }
        let mut selection = Selection {
            models: self
                .models
                .iter()
                .map(|model| model.name.clone())
                .filter(|name| taken.contains(&Dependency::Model(name.clone())))
                .collect(),
            ..Selection::default()
        };
        for node in taken {
            match node {
                Dependency::Model(_) => {}
                Dependency::Seed(name) => selection.seeds.push(name),
                Dependency::Source(name) => selection.sources.push(name),
            }
        }
        Diagnostics::finish(found, selection)
    }
}

impl<'p> Selectable<'p> {
    pub(crate) fn new(project: &'p Project) -> Self {
        let mut reads: BTreeMap<Dependency, BTreeSet<Dependency>> = BTreeMap::new();
        let mut read_by: BTreeMap<Dependency, BTreeSet<Dependency>> = BTreeMap::new();
        let models = project
            .models
            .iter()
            .map(|model| Dependency::Model(model.name.clone()));
        let seeds = project
            .seeds
            .iter()
            .map(|seed| Dependency::Seed(seed.name.clone()));
        let sources = project
            .sources
            .iter()
            .map(|source| Dependency::Source(source.name.clone()));
        for node in models.chain(seeds).chain(sources) {
            reads.insert(node.clone(), BTreeSet::new());
            read_by.insert(node, BTreeSet::new());
        }
        for model in &project.models {
            let node = Dependency::Model(model.name.clone());
            for read in &model.depends_on {
                reads.entry(node.clone()).or_default().insert(read.clone());
                read_by
                    .entry(read.clone())
                    .or_default()
                    .insert(node.clone());
            }
        }
        Self {
            project,
            reads,
            read_by,
        }
    }

    fn all(&self) -> BTreeSet<Dependency> {
        self.reads.keys().cloned().collect()
    }

    /// The union of arguments; what is wrong with them is added to `found`.
    pub(crate) fn union(
        &self,
        arguments: &[String],
        found: &mut Vec<Diagnostic>,
    ) -> BTreeSet<Dependency> {
        let terms = arguments
            .iter()
            .flat_map(|argument| argument.split_whitespace());
        terms
            .flat_map(|term| self.intersection(term, found))
            .collect()
    }

    fn intersection(&self, terms: &str, found: &mut Vec<Diagnostic>) -> BTreeSet<Dependency> {
        let mut taken: Option<BTreeSet<Dependency>> = None;
        for text in terms.split(',') {
            let matched = match Term::parse(text).and_then(|term| self.term(&term)) {
                Ok(matched) => matched,
                Err(diagnostic) => {
                    found.push(diagnostic);
                    continue;
                }
            };
            taken = Some(match taken {
                None => matched,
                Some(taken) => taken.intersection(&matched).cloned().collect(),
            });
        }
        taken.unwrap_or_default()
    }

    fn term(&self, term: &Term<'_>) -> Result<BTreeSet<Dependency>, Diagnostic> {
        let matched: BTreeSet<Dependency> = self
            .reads
            .keys()
            .filter(|node| pattern::matches(self.project, node, term))
            .cloned()
            .collect();
        if matched.is_empty() {
            return Err(pattern::nothing(self.project, term));
        }
        let mut taken = matched.clone();
        if let Some(reach) = term.children {
            taken.extend(walk(&self.read_by, &matched, reach));
        }
        if let Some(reach) = term.parents {
            taken.extend(walk(&self.reads, &matched, reach));
        }
        if term.with_needs_of_children {
            let mut children = walk(&self.read_by, &matched, Reach::All);
            children.extend(matched);
            taken.extend(walk(&self.reads, &children, Reach::All));
            taken.extend(children);
        }
        Ok(taken)
    }
}

/// What is reached from some nodes along edges, without those nodes.
fn walk(
    edges: &BTreeMap<Dependency, BTreeSet<Dependency>>,
    from: &BTreeSet<Dependency>,
    reach: Reach,
) -> BTreeSet<Dependency> {
    let mut reached = BTreeSet::new();
    let mut frontier: Vec<&Dependency> = from.iter().collect();
    let mut steps = 0;
    while !frontier.is_empty() && reach.allows(steps) {
        let next: Vec<&Dependency> = frontier
            .iter()
            .filter_map(|node| edges.get(node))
            .flatten()
            .collect();
        frontier = next
            .into_iter()
            .filter(|node| reached.insert((*node).clone()))
            .collect();
        steps += 1;
    }
    reached
}
