//! One term of a selection.

use factmill_core::diagnostic::Diagnostic;

use crate::nearest;

/// `[@][[N]+][method:]value[+[N]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term<'t> {
    pub(super) with_needs_of_children: bool,
    pub(super) parents: Option<Reach>,
    pub(super) method: Method<'t>,
    pub(super) value: &'t str,
    pub(super) children: Option<Reach>,
}

/// How far along the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    All,
    Steps(usize),
}

impl Reach {
    pub(super) fn allows(self, steps_made: usize) -> bool {
        match self {
            Self::All => true,
            Self::Steps(steps) => steps_made < steps,
        }
    }
}

/// What a value is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method<'t> {
    /// The name, or the folders down to it.
    Fqn,
    /// The path of the file, or of a folder above it.
    Path,
    /// The name of the file.
    File,
    Tag,
    Source,
    ResourceType,
    /// A configuration.
    Config(&'t str),
}

const METHODS: [&str; 7] = [
    "fqn",
    "path",
    "file",
    "tag",
    "source",
    "resource_type",
    "config.materialized",
];

impl<'t> Term<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, Diagnostic> {
        let mut rest = text;
        let with_needs_of_children = rest.starts_with('@');
        if with_needs_of_children {
            rest = &rest[1..];
        }
        let parents = leading(&mut rest)?;
        let children = trailing(&mut rest)?;
        if with_needs_of_children && (parents.is_some() || children.is_some()) {
            return Err(Diagnostic::bare(format!("`{text}` has both `@` and `+`"))
                .help("`@` takes children and all that they need already"));
        }
        let (method, value) = match rest.split_once(':') {
            Some((method, value)) => (self::method(method)?, value),
            None if rest.contains('/') => (Method::Path, rest),
            None if rest.ends_with(".sql") || rest.ends_with(".csv") => (Method::File, rest),
            None => (Method::Fqn, rest),
        };
        if value.is_empty() {
            return Err(Diagnostic::bare(format!(
                "selection `{text}` names nothing"
            )));
        }
        Ok(Self {
            with_needs_of_children,
            parents,
            method,
            value,
            children,
        })
    }
}

fn method(text: &str) -> Result<Method<'_>, Diagnostic> {
    Ok(match text {
        "fqn" => Method::Fqn,
        "path" => Method::Path,
        "file" => Method::File,
        "tag" => Method::Tag,
        "source" => Method::Source,
        "resource_type" => Method::ResourceType,
        _ => match text.strip_prefix("config.").filter(|key| !key.is_empty()) {
            Some(key) => Method::Config(key),
            None => {
                return Err(Diagnostic::bare(format!("no selection method `{text}`"))
                    .help(nearest::help(text, "methods", METHODS)));
            }
        },
    })
}

/// `+` or `N+` at the front.
fn leading(rest: &mut &str) -> Result<Option<Reach>, Diagnostic> {
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Some(after) = rest[digits..].strip_prefix('+') else {
        return Ok(None);
    };
    let steps = reach(&rest[..digits])?;
    *rest = after;
    Ok(Some(steps))
}

/// `+` or `+N` at the end.
fn trailing(rest: &mut &str) -> Result<Option<Reach>, Diagnostic> {
    let before = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let Some(value) = before.strip_suffix('+') else {
        return Ok(None);
    };
    let steps = reach(&rest[before.len()..])?;
    *rest = value;
    Ok(Some(steps))
}

fn reach(digits: &str) -> Result<Reach, Diagnostic> {
    if digits.is_empty() {
        return Ok(Reach::All);
    }
    let out_of_range = |_| Diagnostic::bare(format!("`{digits}` is too many steps"));
    digits.parse().map(Reach::Steps).map_err(out_of_range)
}
