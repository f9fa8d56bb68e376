//! `positions JOB accept-gap`: what is lost between the stored positions and a source, and going on
//! without it.

use std::sync::Arc;
use std::time::Duration;

use factmill_connect::sink::lake::Lake;
use factmill_connect::sink::postgres::{LakeEpoch, Warehouse};
use factmill_connect::source::kafka::{KafkaConfig, KafkaRead, Start, TopicGaps, Way};
use factmill_core::epoch::Reader;
use factmill_core::error::ExitCode;
use factmill_core::position::SourceName;
use factmill_project::Job;
use factmill_project::job::JobSource;
use serde::Serialize;

use crate::commands::warehouse;
use crate::config::{Connections, Needs};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::workspace::Workspace;

/// What the command line says.
pub(super) struct Asked<'a> {
    pub(super) source: Option<&'a str>,
    /// Do it, not only show it.
    pub(super) yes: bool,
    pub(super) json: bool,
}

/// A gap, or a source that is read anew.
#[derive(Serialize)]
struct Line {
    source: String,
    /// `None` where it is the whole source.
    partition: Option<i32>,
    found: String,
    then: String,
    accepted: bool,
}

/// Runs it: 0 when there is no gap, or all are accepted; 4 when there are, and they are only shown.
///
/// # Errors
/// Servers that do not answer, a source that the job does not have.
pub(super) async fn run(
    workspace: &Workspace,
    job: &Job,
    asked: &Asked<'_>,
) -> anyhow::Result<ExitCode> {
    let servers = workspace
        .servers(Needs::of(&[job]), "factmill positions")
        .await?;
    let done = async {
        let connections = servers.connections();
        let accepting = Accepting {
            reader: workspace.reader(&job.name),
            warehouse: warehouse(&connections).await?,
            connections: &connections,
            yes: asked.yes,
        };
        let mut lines = Vec::new();
        for source in chosen(job, asked.source)? {
            match source.origin.topic() {
                Some(topic) => lines.extend(accepting.topic(&source.source, topic).await?),
                // only a person knows: it is found by reading
                None if asked.source.is_some() => {
                    lines.push(accepting.read_anew(&source.source).await?);
                }
                None => {}
            }
        }
        anyhow::Ok(lines)
    };
    let lines = done.await;
    servers.close().await?;
    print(&workspace.printer, job, &lines?, asked)
}

/// The sources of the job that are looked at.
fn chosen<'a>(job: &'a Job, named: Option<&str>) -> Result<Vec<&'a JobSource>, Failure> {
    let Some(named) = named else {
        return Ok(job.sources.iter().collect());
    };
    let source = job
        .sources
        .iter()
        .find(|source| source.source.to_string() == named);
    source.map(|source| vec![source]).ok_or_else(|| {
        let known: Vec<String> = job
            .sources
            .iter()
            .map(|source| source.source.to_string())
            .collect();
        Failure::usage(format!(
            "job {} has no source `{named}`; it reads {}",
            job.name,
            known.join(", ")
        ))
    })
}

struct Accepting<'a> {
    reader: Reader,
    warehouse: Warehouse,
    connections: &'a Connections,
    yes: bool,
}

impl Accepting<'_> {
    /// The gaps of a topic, accepted where that is wanted.
    async fn topic(&self, source: &SourceName, topic: &str) -> anyhow::Result<Vec<Line>> {
        let Some(kafka) = &self.connections.kafka else {
            return Err(Failure::usage(
                "the profile has no `kafka`; the embedded broker begins anew with each start and has no gaps",
            )
            .into());
        };
        let config: KafkaConfig = kafka.config();
        let positions = Arc::new(self.warehouse.positions_of(self.reader.clone()));
        let read = KafkaRead {
            source: source.clone(),
            topic: topic.to_owned(),
            // nothing is read
            start: Start::Earliest,
            reader: self.reader.clone(),
            bounded: true,
            max_rows: 1,
            max_bytes: 1,
            max_wait: Duration::ZERO,
        };
        let found = TopicGaps::find(&config, read, positions).await;
        let Some(TopicGaps { gaps, way }) = found.map_err(Failure::classified)? else {
            return Ok(Vec::new());
        };
        let then = match &way {
            Way::Over(_) => "goes on at the first record that is there",
            Way::Renewed { .. } => {
                "goes on at the end of the log, every other partition where it stood"
            }
            Way::Anew { .. } => "is read as a new topic, from where the job file says",
        };
        if self.yes {
            self.accept(source, way).await?;
        }
        let lines = gaps.into_iter().map(|gap| Line {
            source: source.to_string(),
            partition: Some(gap.partition),
            found: gap.found.to_string(),
            then: then.to_owned(),
            accepted: self.yes,
        });
        Ok(lines.collect())
    }

    async fn accept(&self, source: &SourceName, way: Way) -> anyhow::Result<()> {
        match way {
            Way::Over(intervals) => {
                let lake = Arc::new(LakeEpoch {
                    lake: self.lake().await?,
                    staged: Vec::new(),
                });
                self.warehouse
                    .pass_over(&self.reader, intervals, lake)
                    .await
                    .map_err(Failure::classified)?;
            }
            Way::Renewed { identity, next } => self
                .warehouse
                .renew_incarnation(&self.reader, source, &identity, &next)
                .await
                .map_err(Failure::classified)?,
            Way::Anew { identity } => {
                self.warehouse
                    .end_incarnations(&self.reader, source, Some(&identity))
                    .await
                    .map_err(Failure::classified)?;
            }
        }
        Ok(())
    }

    async fn lake(&self) -> anyhow::Result<Lake> {
        let Some(place) = &self.connections.lake else {
            return Err(Failure::usage("the profile has no `lake`").into());
        };
        let location = place.location().map_err(Failure::classified)?;
        let client = self.warehouse.client().await;
        let client = client.map_err(Failure::classified)?;
        let lake = Lake::open(&client, location).await;
        Ok(lake.map_err(Failure::classified)?)
    }

    /// Lets a source that is no topic begin anew.
    async fn read_anew(&self, source: &SourceName) -> anyhow::Result<Line> {
        if self.yes {
            self.warehouse
                .end_incarnations(&self.reader, source, None)
                .await
                .map_err(Failure::classified)?;
        }
        Ok(Line {
            source: source.to_string(),
            partition: None,
            found: "as its stream said".to_owned(),
            then: "is read anew from its beginning; a row whose deletion was missed stays"
                .to_owned(),
            accepted: self.yes,
        })
    }
}

fn print(
    printer: &Printer,
    job: &Job,
    lines: &[Line],
    asked: &Asked<'_>,
) -> anyhow::Result<ExitCode> {
    let open = lines.iter().any(|line| !line.accepted);
    let code = if open { ExitCode::Gap } else { ExitCode::Done };
    if asked.json {
        for line in lines {
            printer.json(line)?;
        }
        return Ok(code);
    }
    for line in lines {
        let partition = line
            .partition
            .map(|partition| format!(" partition {partition}"));
        printer.line(format_args!(
            "{}{}: {}; it {}",
            line.source,
            partition.unwrap_or_default(),
            line.found,
            line.then
        ))?;
    }
    match (lines.is_empty(), open) {
        (true, _) => printer.note(format_args!(
            "no gap in the topics of {}; name a source of another kind by --source",
            job.name
        )),
        (false, true) => printer.note("nothing was changed: accept it with --yes"),
        (false, false) => printer.note(format_args!("accepted: start {} again", job.name)),
    }
    Ok(code)
}
