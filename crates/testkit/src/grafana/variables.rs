//! A dashboard's own variables, at the values that it opens with.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A template variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    name: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    /// One, inserted as it is.
    One(String),
    /// Some of many.
    Many(Vec<String>),
    /// What stands for all of them, never quoted.
    All(String),
}

/// The variables of a dashboard.
pub(super) fn of(dashboard: &Value) -> Result<Vec<Variable>> {
    let list = dashboard["templating"]["list"].as_array();
    list.map_or(&[][..], Vec::as_slice)
        .iter()
        .map(variable)
        .collect()
}

fn variable(of: &Value) -> Result<Variable> {
    let name = super::string(of, "name")?;
    let current = &of["current"]["value"];
    let values = match current {
        Value::String(one) => Values::One(one.clone()),
        Value::Array(several) => {
            let several: Vec<&str> = several.iter().filter_map(Value::as_str).collect();
            match (several.as_slice(), of["allValue"].as_str()) {
                (["$__all"], Some(all)) => Values::All(all.to_owned()),
                (["$__all"], None) => Values::Many(options(of)?),
                (some, _) => Values::Many(some.iter().map(|&value| value.to_owned()).collect()),
            }
        }
        other => bail!("the variable {name} opens with {other}"),
    };
    Ok(Variable {
        name: name.to_owned(),
        values,
    })
}

/// The values of a list such as `Generator : generator, Third party : third_party`.
fn options(of: &Value) -> Result<Vec<String>> {
    let list = super::string(of, "query")?;
    Ok(list
        .split(',')
        .map(|option| {
            let value = option.split_once(" : ").map_or(option, |(_, value)| value);
            value.trim().to_owned()
        })
        .collect())
}

impl Variable {
    /// The text that Grafana inserts, by the format asked for.
    fn text(&self, format: Option<&str>) -> Result<String> {
        let quoted = |value: &String| format!("'{}'", value.replace('\'', "''"));
        Ok(match (&self.values, format) {
            (Values::All(all), _) => all.clone(),
            (Values::One(one), None | Some("raw")) => one.clone(),
            (Values::One(one), Some("sqlstring")) => quoted(one),
            (Values::One(one), Some("pipe")) => one.clone(),
            // SQL data sources quote a choice of several
            (Values::Many(many), None | Some("sqlstring")) => {
                many.iter().map(quoted).collect::<Vec<_>>().join(",")
            }
            (Values::Many(many), Some("pipe")) => many.join("|"),
            (_, Some(other)) => bail!("unknown format {other} of the variable {}", self.name),
        })
    }
}

/// Replaces `$name`, `${name}` and `${name:format}`; macros, which begin with `$__`, stay.
pub(super) fn expand(sql: &str, variables: &[Variable]) -> Result<String> {
    let mut expanded = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, format, next) = match after.strip_prefix('{') {
            Some(inside) => {
                let end = inside
                    .find('}')
                    .context("a variable is not closed by `}`")?;
                let (name, format) = match inside[..end].split_once(':') {
                    Some((name, format)) => (name, Some(format)),
                    None => (&inside[..end], None),
                };
                (name, format, &inside[end + 1..])
            }
            None => {
                let end = after
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(after.len());
                (&after[..end], None, &after[end..])
            }
        };
        match variables.iter().find(|variable| variable.name == name) {
            Some(variable) => {
                expanded.push_str(&variable.text(format)?);
                rest = next;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_format_is_what_grafana_inserts() {
        let all = json!({ "value": ["$__all"] });
        let dashboard = json!({ "templating": { "list": [
            { "name": "s", "query": "One : o'ne, two", "current": all },
            { "name": "r", "query": "select 1", "allValue": ".*", "current": all },
            { "name": "t", "current": { "value": "x'y" } },
        ] } });
        let variables = of(&dashboard).unwrap();
        for (written, sent) in [
            ("a in ($s)", "a in ('o''ne','two')"),
            ("a ~ '^(${r:pipe})$'", "a ~ '^(.*)$'"),
            ("a = ${t:sqlstring}", "a = 'x''y'"),
            ("${s:pipe} $__timeFrom() $1", "o'ne|two $__timeFrom() $1"),
        ] {
            assert_eq!(expand(written, &variables).unwrap(), sent);
        }
        assert!(expand("${s:csv}", &variables).is_err());
        assert!(of(&json!({})).unwrap().is_empty());
    }
}
