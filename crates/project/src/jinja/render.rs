//! Rendering a file, with every mistake in it found at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use factmill_core::diagnostic::{Diagnostic, Location};
use factmill_core::table::TableName;
use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::capture::{Capture, Captured};
use super::functions::{self, FUNCTIONS, Names};
use super::macros::{self, SourceFile};
use super::markers::{Marks, location};
use crate::nearest;
use crate::project::Target;
use crate::rendered::Rendered;

/// A file with more mistakes than this shows these, and the others once they are mended.
const MAX_MISTAKES: usize = 50;

/// What templates are given from outside.
#[derive(Debug, Clone)]
pub(crate) struct JinjaOptions {
    pub(crate) project: String,
    pub(crate) vars: BTreeMap<String, serde_json::Value>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) target: Target,
}

/// The macros of a project, ready to render its files.
#[derive(Debug, Clone)]
pub(crate) struct Jinja {
    options: Arc<JinjaOptions>,
    plain: Environment<'static>,
    marked: Environment<'static>,
    marks: Marks,
    macros: BTreeMap<String, String>,
    tests: Vec<String>,
    files: Arc<[SourceFile]>,
}

impl Jinja {
    /// Compiles the macro files; what is wrong in them is added to `found`.
    pub(crate) fn new(
        options: JinjaOptions,
        files: Vec<SourceFile>,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut marks = Marks::default();
        let (mut plain, mut marked) = (environment(), environment());
        let mut tests = Vec::new();
        for file in &files {
            // what is not a macro is blanked out, so that places stay
            let (text, defined) = macros::only_macros(&file.text);
            tests.extend(defined);
            if let Err(error) = plain.add_template_owned(file.template(), text.clone()) {
                found.push(diagnostic(&error, &files));
                continue;
            }
            let text = marks.mark(&text, &file.path);
            // a mark inside text changes no tag, so what compiled compiles
            if marked.add_template_owned(file.template(), text).is_err() {
                marked.remove_template(&file.template());
            }
        }
        let macros = macros::macros(&files, found);
        macros::install(&mut plain, &macros);
        macros::install(&mut marked, &macros);
        Self {
            options: Arc::new(options),
            plain,
            marked,
            marks,
            macros,
            tests,
            files: files.into(),
        }
    }

    /// The same with further variables, which win over its own.
    pub(crate) fn with(
        &self,
        vars: &BTreeMap<String, serde_json::Value>,
        environment: &BTreeMap<String, String>,
    ) -> Self {
        let mut options = (*self.options).clone();
        options.vars.extend(vars.clone());
        options.environment.extend(environment.clone());
        Self {
            options: Arc::new(options),
            ..self.clone()
        }
    }

    /// The generic tests that macros define.
    pub(crate) fn tests(&self) -> &[String] {
        &self.tests
    }

    /// Renders a model. `None`: the mistakes are in `found`.
    pub(crate) fn render(
        &self,
        file: &SourceFile,
        names: &Arc<Names>,
        this: &TableName,
        found: &mut Vec<Diagnostic>,
    ) -> Option<(Rendered, Captured)> {
        let capture = Capture::default();
        let install = |environment: &mut Environment<'static>| {
            functions::install(environment, &self.options, names, Some(this), &capture);
        };
        let text = self.text(file, &capture, &install, found)?;
        let captured = capture.finish();
        Some((self.traced(file, text, &install), captured))
    }

    /// Renders a text of a YAML file, where only settings may be asked for.
    pub(crate) fn render_setting(
        &self,
        text: &str,
        at: &Location,
        found: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let capture = Capture::default();
        let file = SourceFile {
            path: at.file.clone(),
            text: text.to_owned(),
        };
        let install = |environment: &mut Environment<'static>| {
            functions::install_settings(environment, &self.options, &capture);
        };
        let mut inside = Vec::new();
        let text = self.text(&file, &capture, &install, &mut inside);
        found.extend(inside.into_iter().map(|diagnostic| Diagnostic {
            location: Some(at.clone()),
            ..diagnostic
        }));
        text
    }

    /// The schema that dbt gives a model: the answer of the macro `generate_schema_name`, else
    /// dbt's default, `<target schema>_<custom schema>`.
    pub(crate) fn schema_name(
        &self,
        custom: Option<&str>,
        node: &str,
        found: &mut Vec<Diagnostic>,
    ) -> String {
        const MACRO: &str = "generate_schema_name";
        let target = &self.options.target.schema;
        let Some(template) = self.macros.get(MACRO) else {
            return custom.map_or_else(|| target.clone(), |custom| format!("{target}_{custom}"));
        };
        let mut environment = self.plain.clone();
        functions::install_settings(&mut environment, &self.options, &Capture::default());
        let arguments = [
            custom.map_or(Value::from(()), Value::from),
            Value::from_pairs([("name", Value::from(node))]),
        ];
        let answer = environment.get_template(template).and_then(|file| {
            let mut file = file.render_captured(())?;
            file.with_state_mut(|state| state.call_macro(MACRO, &arguments))
        });
        match answer {
            Ok(schema) => schema.trim().to_owned(),
            Err(error) => {
                let diagnostic = diagnostic(&error, &self.files);
                if !found.contains(&diagnostic) {
                    found.push(diagnostic);
                }
                target.clone()
            }
        }
    }

    /// Renders until nothing new is wrong.
    fn text(
        &self,
        file: &SourceFile,
        capture: &Capture,
        install: &dyn Fn(&mut Environment<'static>),
        found: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let mut environment = self.plain.clone();
        install(&mut environment);
        let before = found.len();
        let mut stood_in = BTreeSet::new();
        loop {
            capture.restart();
            let rendered = environment
                .template_from_named_str(&file.template(), &file.text)
                .and_then(|template| template.render(()));
            let error = match rendered {
                Ok(text) => return (found.len() == before).then_some(text),
                Err(error) => error,
            };
            let mut place = diagnostic(&error, &self.files_and(file));
            let refusal = capture.take_refusal();
            let unknown = (error.kind() == ErrorKind::UnknownFunction)
                .then(|| unknown_name(&error))
                .flatten()
                .filter(|name| stood_in.insert(name.clone()));
            let goes_on = refusal.is_some() || unknown.is_some();
            if let Some(refusal) = refusal {
                place = Diagnostic {
                    location: place.location,
                    ..refusal
                };
            } else if let Some(name) = unknown {
                place.message = format!("no macro or function `{name}`");
                let known = self.macros.keys().map(String::as_str).chain(FUNCTIONS);
                place.help = Some(nearest::help(&name, "macros", known));
                environment.add_function(name, |_: Rest<ValueOrKwargs>| "");
            }
            found.push(place);
            if !goes_on || found.len() - before == MAX_MISTAKES {
                return None;
            }
        }
    }

    /// The text with its origins; where marks change what the template does, only its file.
    fn traced(
        &self,
        file: &SourceFile,
        text: String,
        install: &dyn Fn(&mut Environment<'static>),
    ) -> Rendered {
        let mut environment = self.marked.clone();
        install(&mut environment);
        let mut marks = self.marks.clone();
        let marked = marks.mark(&file.text, &file.path);
        let rendered = environment
            .template_from_named_str(&file.template(), &marked)
            .and_then(|template| template.render(()));
        let origins = match rendered.map(|marked| marks.strip(&marked)) {
            Ok((stripped, origins)) if stripped == text => origins,
            _ => Vec::new(),
        };
        Rendered::new(text, file.path.clone(), origins)
    }

    fn files_and(&self, file: &SourceFile) -> Vec<SourceFile> {
        self.files.iter().chain([file]).cloned().collect()
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment
}

/// The innermost error, where it happened.
fn diagnostic(error: &Error, files: &[SourceFile]) -> Diagnostic {
    let mut error = error;
    while let Some(inner) =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>())
    {
        error = inner;
    }
    let name = error.name().unwrap_or_default();
    let file = files.iter().rev().find(|file| file.template() == name);
    let path = file.map_or_else(|| PathBuf::from(name), |file| file.path.clone());
    let place = match (file, error.range()) {
        (Some(file), Some(range)) if range.end > 0 => location(&file.path, &file.text, range.start),
        _ => Location {
            file: path,
            line: error.line().unwrap_or(1),
            column: 1,
        },
    };
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    let diagnostic = Diagnostic::at(place, what);
    match error.kind() {
        ErrorKind::UndefinedError => {
            diagnostic.help("set it in the template, or read it with `var()`")
        }
        ErrorKind::SyntaxError => Diagnostic {
            message: format!("not a template: {}", diagnostic.message),
            ..diagnostic
        },
        _ => diagnostic,
    }
}

/// The name in `x is unknown`.
fn unknown_name(error: &Error) -> Option<String> {
    let name = error.detail()?.strip_suffix(" is unknown")?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| name.to_owned())
}
