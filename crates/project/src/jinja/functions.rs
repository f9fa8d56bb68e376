//! dbt's functions in templates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use factmill_core::diagnostic::Diagnostic;
use factmill_core::position::SourceName;
use factmill_core::table::TableName;
use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

use super::capture::{Capture, Reference};
use super::relation::Relation;
use super::render::JinjaOptions;
use super::value::{from_json, to_json};
use crate::nearest;

/// The names that templates may use, and the relations behind them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// The project's own name, for `ref` with two arguments.
    pub(crate) project: String,
    /// Models and seeds.
    pub(crate) refs: BTreeMap<String, TableName>,
    /// Models and seeds that are there, but not enabled.
    pub(crate) disabled: BTreeSet<String>,
    /// Declared sources.
    pub(crate) sources: BTreeSet<SourceName>,
}

/// Names that are functions of every template, for "did you mean".
pub(super) const FUNCTIONS: [&str; 7] = [
    "ref",
    "source",
    "config",
    "var",
    "env_var",
    "is_incremental",
    "log",
];

/// Puts dbt's functions into an environment, for the rendering of one file.
pub(super) fn install(
    environment: &mut Environment<'_>,
    options: &Arc<JinjaOptions>,
    names: &Arc<Names>,
    this: Option<&TableName>,
    capture: &Capture,
) {
    let (known, noted) = (names.clone(), capture.clone());
    environment.add_function("ref", move |arguments: Rest<ValueOrKwargs>| {
        reference(&known, &noted, &arguments.into_values())
    });
    let (known, noted) = (names.clone(), capture.clone());
    environment.add_function("source", move |group: String, table: String| {
        source(&known, &noted, group, table)
    });
    environment.add_global("config", Value::from_object(Config(capture.clone())));
    install_settings(environment, options, capture);
    environment.add_function("is_incremental", || false);
    if let Some(this) = this {
        let this = Relation::table(this).noting_use(capture.this_flag());
        environment.add_global("this", Value::from_object(this));
    }
}

/// The functions that need no model: variables, environment, target, messages.
pub(super) fn install_settings(
    environment: &mut Environment<'_>,
    options: &Arc<JinjaOptions>,
    capture: &Capture,
) {
    let (settings, noted) = (options.clone(), capture.clone());
    environment.add_function("var", move |name: String, default: Option<Value>| {
        match (settings.vars.get(&name), default) {
            (Some(value), _) => Ok(from_json(value)),
            (None, Some(default)) => Ok(default),
            (None, None) => {
                let known = settings.vars.keys().map(String::as_str);
                let diagnostic = Diagnostic::bare(format!("variable `{name}` has no value")).help(format!(
                    "{}; set it under `vars:` in dbt_project.yml, with --vars, or give a default: `var('{name}', …)`",
                    nearest::help(&name, "variables", known)
                ));
                noted.refuse(format!("var {name}"), diagnostic, "".into())
            }
        }
    });
    let (settings, noted) = (options.clone(), capture.clone());
    environment.add_function(
        "env_var",
        move |name: String, default: Option<String>| match settings
            .environment
            .get(&name)
            .cloned()
            .or(default)
        {
            Some(value) => Ok(value.into()),
            None => {
                let diagnostic =
                    Diagnostic::bare(format!("environment variable `{name}` is not set")).help(
                        format!("set it, or give a default: `env_var('{name}', '…')`"),
                    );
                noted.refuse(format!("env_var {name}"), diagnostic, "".into())
            }
        },
    );
    let target = &options.target;
    let pairs = [
        ("name", &target.name),
        ("schema", &target.schema),
        ("profile_name", &options.project),
    ];
    let kind = ("type", Value::from("postgres"));
    environment.add_global(
        "target",
        Value::from_pairs(
            pairs
                .into_iter()
                .map(|(key, text)| (key, Value::from(text.as_str())))
                .chain([kind]),
        ),
    );
    environment.add_global("project_name", options.project.as_str());
    environment.add_global("execute", true);
    environment.add_global("exceptions", Value::from_object(Exceptions));
    // messages of macros while they are rendered: the text of the model is all that comes out
    environment.add_function("log", |_message: Value, _kwargs: Kwargs| "");
}

fn reference(names: &Names, capture: &Capture, arguments: &[Value]) -> Result<Value, Error> {
    let mut texts = Vec::new();
    for argument in arguments.iter().filter(|argument| !argument.is_kwargs()) {
        match argument.as_str() {
            Some(text) => texts.push(text),
            None => {
                let message = format!("ref() takes names as text, found {}", argument.kind());
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
    }
    let (package, name) = match texts[..] {
        [name] => (None, name),
        [package, name] => (Some(package), name),
        _ => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "ref() takes one name, or a package and a name",
            ));
        }
    };
    if let Some(package) = package.filter(|package| *package != names.project) {
        let diagnostic = Diagnostic::bare(format!("no package `{package}`"))
            .help(format!("this project is `{}`", names.project));
        return capture.refuse(format!("package {package}"), diagnostic, "".into());
    }
    if let Some(relation) = names.refs.get(name) {
        capture.reference(Reference::Ref(name.to_owned()));
        return Ok(Value::from_object(Relation::table(relation)));
    }
    let diagnostic = if names.disabled.contains(name) {
        Diagnostic::bare(format!("model `{name}` is disabled"))
            .help("set `enabled: true`, or do not read it")
    } else {
        let known = names.refs.keys().map(String::as_str);
        Diagnostic::bare(format!("no model or seed `{name}`")).help(nearest::help(
            name,
            "models and seeds",
            known,
        ))
    };
    capture.refuse(format!("ref {name}"), diagnostic, "".into())
}

fn source(names: &Names, capture: &Capture, group: String, table: String) -> Result<Value, Error> {
    let name = SourceName::new(group, table);
    if names.sources.contains(&name) {
        let relation = Relation::source(&name);
        capture.reference(Reference::Source(name));
        return Ok(Value::from_object(relation));
    }
    let known: Vec<String> = names.sources.iter().map(ToString::to_string).collect();
    let help = nearest::help(
        &name.to_string(),
        "sources",
        known.iter().map(String::as_str),
    );
    let diagnostic = Diagnostic::bare(format!("no source `{name}`")).help(help);
    capture.refuse(format!("source {name}"), diagnostic, "".into())
}

/// `config(…)`, `config.get(…)`, `config.require(…)`.
#[derive(Debug)]
struct Config(Capture);

impl Object for Config {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        for argument in arguments {
            let settings = to_json(argument);
            let Some(serde_json::Value::Object(settings)) = settings else {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "config() takes settings such as materialized='table'",
                ));
            };
            for (key, value) in settings {
                self.0.config(key, value);
            }
        }
        Ok("".into())
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let key = arguments
            .first()
            .and_then(Value::as_str)
            .unwrap_or_default();
        match (method, self.0.configured(key)) {
            ("get" | "require", Some(value)) => Ok(from_json(&value)),
            ("get", None) => Ok(arguments.get(1).cloned().unwrap_or(Value::from(()))),
            ("require", None) => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("config() has not set `{key}` here"),
            )),
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("config has no method `{method}`"),
            )),
        }
    }
}

/// `exceptions.raise_compiler_error(…)` and `exceptions.warn(…)`.
#[derive(Debug)]
struct Exceptions;

impl Object for Exceptions {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "raise_compiler_error" => {
                let message = arguments
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                Err(Error::new(ErrorKind::InvalidOperation, message))
            }
            "warn" => Ok("".into()),
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!("exceptions has no method `{method}`"),
            )),
        }
    }
}
