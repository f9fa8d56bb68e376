//! URLs that may hold secrets: asked as they are, written with variables in their place.

use std::path::Path;

use factmill_project::yaml::{self, Variables};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// A URL that was given on the command line.
pub(super) struct Url {
    /// To be asked; never shown.
    pub(super) asked: String,
    /// To be written and shown: secrets are `${VARIABLE}`.
    pub(super) written: String,
    /// The variables that stand for secrets that were written out, with their values.
    pub(super) variables: Vec<(String, String)>,
}

#[derive(Deserialize, JsonSchema)]
struct Given {
    url: String,
}

impl Url {
    /// Fills in the variables that `given` names, and finds the secrets that it spells out.
    ///
    /// # Errors
    /// A variable that is not set.
    pub(super) fn new(given: &str, workspace: &Workspace, job: &str) -> anyhow::Result<Self> {
        if given.chars().any(char::is_control) {
            return Err(Failure::usage("the URL holds a control character").into());
        }
        let (written, variables) = without_secrets(given, job);
        let mut environment = workspace.variables().clone();
        environment.extend(variables.iter().cloned());
        let text = format!("url: {}\n", serde_json::Value::from(written.as_str()));
        let filled = Variables::new(&environment);
        let loaded = yaml::load::<Given>(&text, Path::new("--from"), &filled)?;
        Ok(Self {
            asked: loaded.value.url,
            written,
            variables,
        })
    }
}

/// The URL with variables for its secrets: user and password, and what looks like a key in its query
/// or its path. What follows `#` is never sent and is left out.
fn without_secrets(given: &str, job: &str) -> (String, Vec<(String, String)>) {
    let given = given.split('#').next().unwrap_or_default();
    let (scheme, rest) = given.split_once("://").unwrap_or(("", given));
    let place_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, rest) = rest.split_at(place_end);
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut hidden = Hidden {
        job,
        variables: Vec::new(),
    };
    let place = match place.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", hidden.variable("user", user)),
        None => place.to_owned(),
    };
    let path: Vec<String> = path
        .split('/')
        .map(|part| match looks_random(part) {
            true => hidden.variable("path", part),
            false => part.to_owned(),
        })
        .collect();
    let mut written = format!("{scheme}://{place}{}", path.join("/"));
    if let Some(query) = query {
        let parameters: Vec<String> = query
            .split('&')
            .map(|parameter| match parameter.split_once('=') {
                Some((name, value)) if is_secret(name) || looks_random(value) => {
                    format!("{name}={}", hidden.variable(name, value))
                }
                None if looks_random(parameter) => hidden.variable("query", parameter),
                _ => parameter.to_owned(),
            })
            .collect();
        written.push('?');
        written.push_str(&parameters.join("&"));
    }
    (written, hidden.variables)
}

struct Hidden<'a> {
    job: &'a str,
    variables: Vec<(String, String)>,
}

impl Hidden<'_> {
    /// The variable that stands for a value; one that is a variable already stays.
    fn variable(&mut self, what: &str, value: &str) -> String {
        if value.is_empty() || (value.starts_with("${") && value.ends_with('}')) {
            return value.to_owned();
        }
        let upper = |text: &str| -> String {
            let sign = |c: char| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            };
            text.chars().map(sign).collect()
        };
        let wanted = format!("{}_{}", upper(self.job), upper(what));
        let taken = self
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with(&wanted))
            .count();
        let name = match taken {
            0 => wanted,
            more => format!("{wanted}_{}", more + 1),
        };
        // the value stands in a URL, where a `$` begins a variable
        self.variables
            .push((name.clone(), value.replace("$$", "$")));
        format!("${{{name}}}")
    }
}

/// Whether a parameter's name says that its value is one.
fn is_secret(name: &str) -> bool {
    const SIGNS: [&str; 11] = [
        "key", "token", "secret", "pass", "pwd", "sig", "auth", "cred", "session", "code", "appid",
    ];
    let lower = name.to_ascii_lowercase();
    SIGNS.iter().any(|sign| lower.contains(sign))
}

/// Whether a text has a long run of letters and digits, as keys have and words have not.
fn looks_random(text: &str) -> bool {
    const LONG: usize = 20;
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        run.len() >= LONG
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn secrets_become_variables() {
        for (given, wanted) in [
            (
                "https://h/v1/readings?limit=10",
                "https://h/v1/readings?limit=10",
            ),
            (
                "https://h/x?api_key=hunter2&day=1",
                "https://h/x?api_key=${WEATHER_API_KEY}&day=1",
            ),
            ("https://me:hunter2@h/x", "https://${WEATHER_USER}@h/x"),
            ("https://me:p@hunter2@h", "https://${WEATHER_USER}@h"),
            ("https://h/x?api_key=${KEY}", "https://h/x?api_key=${KEY}"),
            (
                "https://h/bot0a1b2c3d4e5f6g7h8i9jhunter2/x",
                "https://h/${WEATHER_PATH}/x",
            ),
            (
                "https://h/x?q=0a1b2c3d4e5f6g7h8i9jhunter2",
                "https://h/x?q=${WEATHER_Q}",
            ),
            (
                "https://h/x?0a1b2c3d4e5f6g7h8i9jhunter2",
                "https://h/x?${WEATHER_QUERY}",
            ),
            (
                "https://h/x?key=hunter2&key=hunter3",
                "https://h/x?key=${WEATHER_KEY}&key=${WEATHER_KEY_2}",
            ),
            ("https://h/x#token=hunter2", "https://h/x"),
            (
                "https://h/by-day/2024-01-31/station-7-in-the-north",
                "https://h/by-day/2024-01-31/station-7-in-the-north",
            ),
        ] {
            let (written, variables) = without_secrets(given, "weather");
            assert_eq!(written, wanted);
            assert!(!written.contains("hunter"));
            let mut filled = written;
            for (name, value) in variables.iter().rev() {
                filled = filled.replace(&format!("${{{name}}}"), value);
            }
            assert!(given.starts_with(&filled), "{filled} is asked");
        }
    }
}
