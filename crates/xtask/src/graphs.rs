//! `cargo xtask graphs`: what each job's models are made of, as pictures for the README.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use factmill_project::job::Origin;
use factmill_project::{Dependency, Job, LoadOptions, Model, Project};

use crate::steps;

/// Where the pictures are.
const FOLDER: &str = "docs/graphs";

/// Sizes in CSS pixels; a character of the font is no wider than [`CHARACTER`].
const CHARACTER: f64 = 7.3;
const BOX_HEIGHT: f64 = 38.0;
const ROW: f64 = 54.0;
const BETWEEN_COLUMNS: f64 = 56.0;
const MARGIN: f64 = 16.0;

/// So often the rows of a column are ordered anew by where their neighbours are.
const SWEEPS: usize = 8;

/// Writes the picture of each job.
///
/// # Errors
/// When the project is wrong, or a file cannot be written.
pub(crate) fn write() -> Result<()> {
    for (file, svg) in pictures()? {
        fs::create_dir_all(file.parent().context("a picture lies in a folder")?)?;
        fs::write(&file, svg).with_context(|| format!("could not write {}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(())
}

/// Each job's picture and the file that it belongs in.
fn pictures() -> Result<Vec<(PathBuf, String)>> {
    let workspace = steps::workspace();
    let project = Project::load(&workspace, &LoadOptions::default())?;
    let jobs = project.jobs.iter().map(|job| {
        let models = project.job_models(job)?;
        let file = workspace.join(FOLDER).join(format!("{}.svg", job.name));
        Ok((file, Graph::of(job, &models).svg(&job.name)))
    });
    jobs.collect()
}

/// A source, seed or model, and what stands in its box.
struct Node {
    name: String,
    /// A smaller line below the name.
    kind: String,
    class: &'static str,
    /// The nodes that it reads.
    reads: Vec<usize>,
    /// How many steps it is away from sources and seeds, at most.
    column: usize,
}

/// Nodes, each behind those that it reads.
struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    fn of(job: &Job, models: &[Model]) -> Self {
        let mut graph = Self { nodes: Vec::new() };
        let mut places: HashMap<Dependency, usize> = HashMap::new();
        for model in models {
            let mut reads = Vec::new();
            for dependency in &model.depends_on {
                let place = *places.entry(dependency.clone()).or_insert_with(|| {
                    graph.nodes.push(outside(job, dependency));
                    graph.nodes.len() - 1
                });
                reads.push(place);
            }
            let column = reads.iter().map(|&read| graph.nodes[read].column + 1).max();
            places.insert(Dependency::Model(model.name.clone()), graph.nodes.len());
            graph.nodes.push(Node {
                name: model.relation.name.clone(),
                kind: model.materialized.as_str().to_owned(),
                class: class(&model.relation.name),
                reads,
                column: column.unwrap_or(0),
            });
        }
        graph
    }

    /// The nodes of each column from top to bottom, ordered so that few lines cross.
    fn columns(&self) -> Vec<Vec<usize>> {
        let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            columns.entry(node.column).or_default().push(index);
        }
        let mut columns: Vec<Vec<usize>> = columns.into_values().collect();
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for &read in &node.reads {
                readers[read].push(index);
            }
        }
        for sweep in 0..SWEEPS {
            let heights = heights(&columns, self.nodes.len());
            for column in &mut columns {
                column.sort_by(|&left, &right| {
                    let wanted = |node: usize| {
                        let neighbours = match sweep % 2 {
                            0 => &self.nodes[node].reads,
                            _ => &readers[node],
                        };
                        middle(neighbours, &heights).unwrap_or(heights[node])
                    };
                    wanted(left).total_cmp(&wanted(right))
                });
            }
        }
        columns
    }

    fn svg(&self, job: &str) -> String {
        let columns = self.columns();
        let mut corners = vec![(0.0, 0.0); self.nodes.len()];
        let mut widths = vec![0.0; self.nodes.len()];
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0) as f64;
        let height = rows * ROW + 2.0 * MARGIN;
        let mut x = MARGIN;
        for column in &columns {
            let longest = column.iter().map(|&node| self.nodes[node].longest()).max();
            let width = longest.unwrap_or(0) as f64 * CHARACTER + 24.0;
            let top = (height - column.len() as f64 * ROW) / 2.0;
            for (row, &node) in column.iter().enumerate() {
                corners[node] = (x, top + row as f64 * ROW + (ROW - BOX_HEIGHT) / 2.0);
                widths[node] = width;
            }
            x += width + BETWEEN_COLUMNS;
        }
        let width = x - BETWEEN_COLUMNS + MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-label=\"What the models of {job} are made of\">\n{STYLE}\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n"
        );
        for (index, node) in self.nodes.iter().enumerate() {
            let (to_x, to_y) = (corners[index].0, corners[index].1 + BOX_HEIGHT / 2.0);
            for &read in &node.reads {
                let from_x = corners[read].0 + widths[read];
                let from_y = corners[read].1 + BOX_HEIGHT / 2.0;
                let bend = BETWEEN_COLUMNS / 2.0;
                line(
                    &mut svg,
                    format_args!(
                        "<path d=\"M{from_x:.1} {from_y:.1}C{:.1} {from_y:.1} {:.1} {to_y:.1} {to_x:.1} {to_y:.1}\"/>",
                        from_x + bend,
                        to_x - bend
                    ),
                );
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let ((x, y), width) = (corners[index], widths[index]);
            line(
                &mut svg,
                format_args!(
                    "<g class=\"{}\"><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\">{}</text><text class=\"kind\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                    node.class,
                    x + 12.0,
                    y + 17.0,
                    escaped(&node.name),
                    x + 12.0,
                    y + 31.0,
                    escaped(&node.kind)
                ),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Node {
    fn longest(&self) -> usize {
        self.name.chars().count().max(self.kind.chars().count())
    }
}

/// Where each node stands in its column, from 0 at the top to 1.
fn heights(columns: &[Vec<usize>], nodes: usize) -> Vec<f64> {
    let mut heights = vec![0.0; nodes];
    for column in columns {
        for (row, &node) in column.iter().enumerate() {
            heights[node] = (row as f64 + 0.5) / column.len() as f64;
        }
    }
    heights
}

fn middle(nodes: &[usize], heights: &[f64]) -> Option<f64> {
    let sum: f64 = nodes.iter().map(|&node| heights[node]).sum();
    (!nodes.is_empty()).then(|| sum / nodes.len() as f64)
}

fn line(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // writing into memory does not fail
    let _ = writeln!(svg, "{text}");
}

/// What the job's models read and none of them makes.
fn outside(job: &Job, dependency: &Dependency) -> Node {
    let (name, kind, class) = match dependency {
        Dependency::Source(source) => {
            let read = job.sources.iter().find(|read| read.source == *source);
            let kind = read.map_or("source".into(), |read| origin(&read.origin));
            (source.to_string(), kind, "source")
        }
        Dependency::Seed(name) => (name.clone(), "seed".into(), "source"),
        Dependency::Model(name) => (name.clone(), "another job's table".into(), "source"),
    };
    Node {
        name,
        kind,
        class,
        reads: Vec::new(),
        column: 0,
    }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Kafka { topic, .. } => format!("Kafka {topic}"),
        Origin::Mongo(mongo) => format!("MongoDB {}.{}", mongo.database, mongo.collection),
        Origin::Http(_) => "HTTP".into(),
        Origin::Files(_) => "files".into(),
    }
}

/// The colour of a model, by dbt's customs of naming.
fn class(name: &str) -> &'static str {
    match name.split('_').next() {
        Some("stg") => "staging",
        Some("dim") => "dimension",
        Some("agg") => "aggregate",
        _ => "fact",
    }
}

const STYLE: &str = "\
<style>
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328}
.kind{font-size:10px;fill:#59636e}
rect{stroke-width:1}
path{fill:none;stroke:#8c959f;stroke-width:1.2}
.paper{fill:#fff;stroke:none}
.source rect{fill:#f6f8fa;stroke:#8c959f}
.staging rect{fill:#ddf4ff;stroke:#0969da}
.dimension rect{fill:#dafbe1;stroke:#1a7f37}
.fact rect{fill:#fff8c5;stroke:#9a6700}
.aggregate rect{fill:#fbefff;stroke:#8250df}
</style>";

/// Text as XML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn graphs_are_current() {
        for (file, svg) in pictures().unwrap() {
            let written = fs::read_to_string(&file).unwrap_or_default();
            let shown = file.strip_prefix(steps::workspace()).unwrap_or(&file);
            assert!(
                written == svg,
                "{} is not what the project says: run `cargo xtask graphs`",
                shown.display()
            );
        }
    }

    #[test]
    fn a_node_stands_behind_all_that_it_reads() {
        let node = |reads: Vec<usize>, column| Node {
            name: "n".into(),
            kind: "table".into(),
            class: "fact",
            reads,
            column,
        };
        // two chains whose ends stand the wrong way around
        let graph = Graph {
            nodes: vec![
                node(vec![], 0),
                node(vec![], 0),
                node(vec![1], 1),
                node(vec![0], 1),
            ],
        };
        assert_eq!(graph.columns(), [vec![0, 1], vec![3, 2]]);
    }
}
