//! `new`: a job of one's own, from a sample of its records to files that run.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use factmill_core::diagnostic::Diagnostics;
use factmill_core::error::{ErrorKind, ExitCode};
use factmill_engine::{BatchPlan, Memory, StreamPlan};
use factmill_project::scaffold::{NewFile, Scaffold, check_name};
use serde::Serialize;

use super::infer::{self, Told};
use super::sampling::{self, Place, Sample};
use crate::cli::NewArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::printer::{BOLD, Printer};
use crate::workspace::Workspace;

/// Runs it: nothing is overwritten, and what was written compiles.
///
/// # Errors
/// A name that cannot be, files that stand already, a source that cannot be read.
pub(super) async fn run(arguments: &NewArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(context)?;
    let project = workspace.project()?;
    check_name(&arguments.job, &project).map_err(Diagnostics::from)?;
    let folder = project.model_folder().join(&arguments.job);
    refuse_existing(&workspace.directory, &folder)?;
    let place = Place::parse(&arguments.from)?;
    let most = arguments.sample.get();
    let sample = sampling::sample(&place, &workspace, most, &arguments.job).await?;
    let scaffold = Scaffold {
        job: &arguments.job,
        from: &sample.from,
        inferred: &sample.inferred,
        now: chrono::Utc::now().timestamp_micros(),
    };
    let files = scaffold.files(&project);
    let names = scaffold.names(&project);
    for file in &files {
        refuse_existing(&workspace.directory, &file.path)?;
    }
    if !arguments.dry_run {
        let written = Written::write(&workspace.directory, &files)?;
        if let Err(error) = check(&workspace, &arguments.job, &sample).await {
            written.remove()?;
            workspace.printer.error(
                "what was written does not compile and was removed again; please report this with the lines below",
            );
            return Err(error);
        }
    }
    let table = format!("{}.{}", arguments.job, names.fact_table);
    let printer = &workspace.printer;
    if arguments.json {
        printer.json(&Line {
            job: &arguments.job,
            table: &table,
            files: files.iter().map(|file| file.path.as_path()).collect(),
            variables: sample
                .variables
                .iter()
                .map(|(name, _)| name.as_str())
                .collect(),
            written: !arguments.dry_run,
            sample: Told::of(&sample),
        })?;
        return Ok(ExitCode::Done);
    }
    infer::print(printer, &sample)?;
    if arguments.dry_run {
        printer.note("nothing was written: --dry-run");
        return Ok(ExitCode::Done);
    }
    for file in &files {
        printer.line(format_args!("wrote {}", file.path.display()))?;
    }
    next_steps(printer, &arguments.job, &table, &sample, &workspace);
    Ok(ExitCode::Done)
}

#[derive(Serialize)]
struct Line<'a> {
    job: &'a str,
    table: &'a str,
    files: Vec<&'a Path>,
    variables: Vec<&'a str>,
    written: bool,
    #[serde(flatten)]
    sample: Told<'a>,
}

fn refuse_existing(project: &Path, path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(project.join(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::usage(format!(
            "cannot look at {}: {error}",
            path.display()
        ))),
        Ok(_) => Err(Failure::usage(format!(
            "{} exists already and is not overwritten; choose another name, or remove it",
            path.display()
        ))),
    }
}

/// Files and folders that this command made.
struct Written {
    /// In the order in which they were made.
    paths: Vec<PathBuf>,
}

impl Written {
    fn write(project: &Path, files: &[NewFile]) -> anyhow::Result<Self> {
        let mut written = Self { paths: Vec::new() };
        for file in files {
            if let Err(error) = written.file(project, file) {
                written.remove()?;
                let path = file.path.display();
                return Err(Failure::usage(format!("cannot write {path}: {error}")).into());
            }
        }
        Ok(written)
    }

    fn file(&mut self, project: &Path, file: &NewFile) -> io::Result<()> {
        let path = project.join(&file.path);
        let folder = path.parent().unwrap_or(project);
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|folder| !folder.exists())
            .collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder)?;
            self.paths.push(folder.to_path_buf());
        }
        let mut created = fs::File::create_new(&path)?;
        self.paths.push(path);
        created.write_all(file.text.as_bytes())
    }

    /// Takes all of it back.
    fn remove(self) -> anyhow::Result<()> {
        for path in self.paths.iter().rev() {
            let removed = match path.is_dir() {
                true => fs::remove_dir(path),
                false => fs::remove_file(path),
            };
            removed.map_err(|error| {
                Failure::new(
                    ErrorKind::Internal,
                    format!(
                        "cannot remove {}: {error}; remove it by hand",
                        path.display()
                    ),
                )
            })?;
        }
        Ok(())
    }
}

/// Reads the project anew and compiles the job as a stream and as a batch.
async fn check(workspace: &Workspace, job: &str, sample: &Sample) -> anyhow::Result<()> {
    let project = workspace.project_where(&sample.variables)?;
    let job = project.job(job)?;
    StreamPlan::compile(&project, job, &Memory::stream()).await?;
    let models = project.job_models(job)?;
    let own: Vec<_> = project
        .models
        .iter()
        .filter(|model| models.iter().any(|own| own.name == model.name))
        .cloned()
        .collect();
    BatchPlan::compile(&project, &own, &Memory::batch(), 1).await?;
    Ok(())
}

fn next_steps(printer: &Printer, job: &str, table: &str, sample: &Sample, workspace: &Workspace) {
    let profile = match workspace.is_usual_profile() {
        true => String::new(),
        false => format!(" --profile {}", workspace.profile_name()),
    };
    if !sample.variables.is_empty() {
        let names: Vec<&str> = sample
            .variables
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        printer.warn(format_args!(
            "the URL held what looks like a secret; the job file names {} instead: set it in .env or in the environment",
            names.join(", ")
        ));
    }
    printer.note(format_args!("{BOLD}next{BOLD:#}"));
    printer.note(format_args!("  factmill stream {job} --once{profile}"));
    printer.note(format_args!(
        "  factmill sql \"select * from {table} limit 10\"{profile}"
    ));
    printer
        .note("  every type and key above is a guess: look at the files, they are yours to change");
}
