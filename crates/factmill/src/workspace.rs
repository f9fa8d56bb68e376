//! The project's folder with its environment: what files and flags together say a command works on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use factmill_core::diagnostic::{Diagnostic, Diagnostics};
use factmill_core::epoch::Reader;
use factmill_core::error::ErrorKind;
use factmill_project::{Job, LoadOptions, Project, Target};

use crate::cli::{EMBEDDED, Setting};
use crate::config::{Connections, Environment, Needs, Profile, Warehouse};
use crate::context::Context;
use crate::embedded::{Access, EmbeddedError};
use crate::failure::{Failure, chain};
use crate::printer::{BOLD, Printer};

/// What runs where no job is named and there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// Every job.
    All,
    /// What a person chooses.
    Ask,
    /// The same, to whom this job is proposed; where nobody can be asked it runs. A project without
    /// it is as with [`Unnamed::Ask`].
    Usual(&'static str),
}

/// A project's folder and what surrounds it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder.
    pub(crate) directory: PathBuf,
    /// How to print.
    pub(crate) printer: Printer,
    profile: String,
    environment: Environment,
}

impl Workspace {
    /// Finds the folder and reads its `.env`.
    ///
    /// # Errors
    /// When there is no project, or `.env` is no list of variables.
    pub(crate) fn open(context: &Context) -> Result<Self, Diagnostics> {
        let directory = context.project_dir()?;
        let environment = Environment::load(&directory)?;
        Ok(Self {
            directory,
            printer: context.printer.clone(),
            profile: context.profile.clone(),
            environment,
        })
    }

    /// Reads the dbt project; its warnings are printed.
    ///
    /// # Errors
    /// Everything that is wrong in it, at once.
    pub(crate) fn project(&self) -> Result<Project, Diagnostics> {
        self.load(Vec::new())
    }

    /// Reads the dbt project with keys of some jobs overridden.
    ///
    /// # Errors
    /// As [`Workspace::project`].
    pub(crate) fn project_with(
        &self,
        jobs: &[String],
        settings: &[Setting],
    ) -> Result<Project, Diagnostics> {
        let each = jobs.iter().flat_map(|job| {
            let of_job = move |setting: &Setting| (job.clone(), setting.to_string());
            settings.iter().map(of_job)
        });
        self.load(each.collect())
    }

    /// Reads the dbt project as it will be once these variables are set; its warnings are not printed.
    ///
    /// # Errors
    /// As [`Workspace::project`].
    pub(crate) fn project_where(
        &self,
        variables: &[(String, String)],
    ) -> Result<Project, Diagnostics> {
        let mut options = self.load_options(Vec::new());
        options.environment.extend(variables.iter().cloned());
        Project::load(&self.directory, &options)
    }

    /// The variables of the environment and of `.env`.
    pub(crate) fn variables(&self) -> &std::collections::BTreeMap<String, String> {
        self.environment.all()
    }

    /// The project and the names of its jobs to run: those named, the only one, or what `unnamed` says.
    /// Keys of these jobs are overridden.
    ///
    /// # Errors
    /// When there is none to choose from, nobody to ask, or the project cannot be read.
    pub(crate) fn choose_jobs(
        &self,
        named: &[String],
        unnamed: Unnamed,
        settings: &[Setting],
    ) -> anyhow::Result<(Project, Vec<String>)> {
        if !named.is_empty() {
            let mut once = Vec::with_capacity(named.len());
            for job in named {
                if !once.contains(job) {
                    once.push(job.clone());
                }
            }
            return Ok((self.project_with(&once, settings)?, once));
        }
        let project = Project::load(&self.directory, &self.load_options(Vec::new()))?;
        let chosen = self.choose_unnamed(&project, unnamed)?;
        if settings.is_empty() {
            self.show_warnings(&project);
            return Ok((project, chosen));
        }
        // which jobs the settings are for is known only now
        Ok((self.project_with(&chosen, settings)?, chosen))
    }

    fn choose_unnamed(&self, project: &Project, unnamed: Unnamed) -> anyhow::Result<Vec<String>> {
        if unnamed == Unnamed::All && !project.jobs.is_empty() {
            return Ok(project.jobs.iter().map(|job| job.name.clone()).collect());
        }
        let usual = usual_job(project, unnamed);
        match choose_job(project, None) {
            Ok(job) => Ok(vec![job.name.clone()]),
            Err(_) if self.printer.can_ask() && !project.jobs.is_empty() => {
                let proposed = usual.unwrap_or(&project.jobs[0]);
                Ok(vec![self.ask_for_job(project, &proposed.name)?])
            }
            Err(wrong) => match usual {
                Some(job) => {
                    tracing::info!(
                        job = job.name,
                        "no job was named, and this one is the usual"
                    );
                    Ok(vec![job.name.clone()])
                }
                None => Err(wrong.into()),
            },
        }
    }

    /// Lets a person choose; Enter takes what is proposed.
    fn ask_for_job(&self, project: &Project, proposed: &str) -> anyhow::Result<String> {
        for (index, job) in project.jobs.iter().enumerate() {
            let about = job.description.as_deref().unwrap_or_default();
            let line = format!("  {} {BOLD}{:<16}{BOLD:#} {about}", index + 1, job.name);
            self.printer.note(line);
        }
        loop {
            let answer = self
                .printer
                .ask(&format!("Which job? A name or a number [{proposed}] "))?;
            let answer = match answer.trim() {
                "" => proposed,
                answer => answer,
            };
            let by_number = answer.parse::<usize>().ok();
            let chosen = match by_number.and_then(|number| number.checked_sub(1)) {
                Some(index) => project.jobs.get(index).map(|job| job.name.clone()),
                None => project.job(answer).ok().map(|job| job.name.clone()),
            };
            match chosen {
                Some(job) => return Ok(job),
                None => self
                    .printer
                    .warn(format_args!("there is no job `{answer}`")),
            }
        }
    }

    fn load(&self, overrides: Vec<(String, String)>) -> Result<Project, Diagnostics> {
        let project = Project::load(&self.directory, &self.load_options(overrides))?;
        self.show_warnings(&project);
        Ok(project)
    }

    fn show_warnings(&self, project: &Project) {
        for warning in &project.warnings {
            self.printer.warn(warning);
        }
    }

    fn load_options(&self, overrides: Vec<(String, String)>) -> LoadOptions {
        LoadOptions {
            target: Target {
                name: self.profile.clone(),
                ..Target::default()
            },
            environment: self.environment.all().clone(),
            overrides,
            ..LoadOptions::default()
        }
    }

    /// The profile, as far as `needs` says.
    ///
    /// # Errors
    /// Everything that is wrong in `factmill.yml`, at once.
    pub(crate) fn profile(&self, needs: Needs) -> Result<Profile, Diagnostics> {
        Profile::load(&self.directory, &self.profile, &needs, &self.environment)
    }

    /// The profile's name.
    pub(crate) fn profile_name(&self) -> &str {
        &self.profile
    }

    /// Whether the profile's servers are private ones, whatever its name.
    ///
    /// # Errors
    /// As [`Workspace::profile`].
    pub(crate) fn is_embedded(&self) -> Result<bool, Diagnostics> {
        let profile = self.profile(Needs::default())?;
        Ok(matches!(profile, Profile::Embedded { .. }))
    }

    /// Whether the profile is the one that needs no `--profile`.
    pub(crate) fn is_usual_profile(&self) -> bool {
        self.profile == EMBEDDED
    }

    /// A variable of the environment or of `.env` that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.all().get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The file in which a command keeps something for a job of this profile; its folder is made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn state_file(&self, command: &str, job: &str) -> Result<PathBuf, Failure> {
        let folder = self.directory.join(".factmill").join(command);
        let folder = folder.join(&self.profile);
        std::fs::create_dir_all(&folder).map_err(|error| {
            Failure::usage(format!("cannot create {}: {error}", folder.display()))
        })?;
        Ok(folder.join(format!("{job}.json")))
    }

    /// Who reads, when this profile runs the job.
    pub(crate) fn reader(&self, job: &str) -> Reader {
        Reader {
            target: self.profile.clone(),
            job: job.to_owned(),
        }
    }

    /// The profile's servers for the time of one command; private ones are joined, or started.
    ///
    /// # Errors
    /// What is wrong in `factmill.yml`, or why private servers cannot be had.
    pub(crate) async fn servers(
        &self,
        needs: Needs,
        command: &str,
    ) -> anyhow::Result<ServersInUse> {
        Ok(match self.profile(needs)? {
            Profile::Servers(connections) => ServersInUse::Running(connections),
            Profile::Embedded {
                directory,
                databases,
            } => {
                let access = Access::open(&directory, command)
                    .await
                    .map_err(embedded_failure)?;
                ServersInUse::Private { access, databases }
            }
        })
    }
}

/// Servers that a command may use until it closes them.
#[derive(Debug)]
pub(crate) enum ServersInUse {
    /// They run by themselves.
    Running(Box<Connections>),
    /// They belong to the embedded profile, but for these databases.
    Private {
        access: Access,
        databases: BTreeMap<String, Warehouse>,
    },
}

impl ServersInUse {
    /// How to connect.
    pub(crate) fn connections(&self) -> Connections {
        match self {
            Self::Running(connections) => (**connections).clone(),
            Self::Private { access, databases } => Connections {
                databases: databases.clone(),
                ..access.connections()
            },
        }
    }

    /// Ends what was started for the command.
    ///
    /// # Errors
    /// When a private server cannot be ended.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Private { access, .. } => Ok(access.close().await.map_err(embedded_failure)?),
        }
    }
}

/// What an error of private servers means for the command.
pub(crate) fn embedded_failure(error: EmbeddedError) -> Failure {
    let kind = match &error {
        EmbeddedError::Folder(_) => ErrorKind::Configuration,
        _ => ErrorKind::Unreachable,
    };
    Failure::new(kind, chain(&error))
}

/// The usual job, where the project has it.
fn usual_job(project: &Project, unnamed: Unnamed) -> Option<&Job> {
    let Unnamed::Usual(usual) = unnamed else {
        return None;
    };
    project.jobs.iter().find(|job| job.name == usual)
}

/// The job of that name, or the only one there is.
///
/// # Errors
/// When there is no such job, or none was named and there are several.
pub(crate) fn choose_job<'a>(
    project: &'a Project,
    name: Option<&str>,
) -> Result<&'a Job, Diagnostics> {
    match (name, project.jobs.as_slice()) {
        (Some(name), _) => project.job(name),
        (None, [only]) => Ok(only),
        (None, []) => Err(Diagnostic::bare("the project has no job")
            .help("declare one in jobs/<name>.yml")
            .into()),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|job| job.name.as_str()).collect();
            Err(
                Diagnostic::bare("the project has several jobs and none was named")
                    .help(format!("name one of: {}", names.join(", ")))
                    .into(),
            )
        }
    }
}
