//! The macros of Grafana's PostgreSQL data source.

use anyhow::{Context, Result, bail};

use super::Range;

/// Grafana draws about this many points over a range and derives `$__interval` from it.
const POINTS: i64 = 1000;

/// Replaces every macro and built-in variable of a query.
pub(super) fn expand(sql: &str, range: Range) -> Result<String> {
    let mut expanded = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("$__") {
        expanded.push_str(&rest[..at]);
        let (name, after) = split_name(&rest[at + 3..]);
        let (text, after) = match variable(name, range) {
            Some(text) => (text, after),
            None => {
                let (arguments, after) = arguments(after)
                    .with_context(|| format!("the macro $__{name} is not followed by (…)"))?;
                let arguments = arguments
                    .into_iter()
                    .map(|argument| expand(argument, range))
                    .collect::<Result<Vec<_>>>()?;
                (call(name, &arguments, range)?, after)
            }
        };
        expanded.push_str(&text);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Built-in variables, which take no arguments.
fn variable(name: &str, range: Range) -> Option<String> {
    let milliseconds = ((range.to - range.from).num_milliseconds() / POINTS).max(1);
    match name {
        "interval" => Some(format!("{milliseconds}ms")),
        "interval_ms" => Some(milliseconds.to_string()),
        _ => None,
    }
}

fn call(name: &str, arguments: &[String], range: Range) -> Result<String> {
    let (from, to) = (Range::literal(range.from), Range::literal(range.to));
    let (first, last) = (range.from.timestamp(), range.to.timestamp());
    Ok(match (name, arguments) {
        ("time", [column]) => format!("{column} AS \"time\""),
        ("timeEpoch", [column]) => format!("extract(epoch from {column}) as \"time\""),
        ("timeFilter", [column]) => format!("{column} BETWEEN {from} AND {to}"),
        ("timeFrom", []) => from,
        ("timeTo", []) => to,
        // the third argument fills gaps, which Grafana does after the query
        ("timeGroup", [column, width] | [column, width, _]) => group(column, width)?,
        ("timeGroupAlias", [column, width] | [column, width, _]) => {
            format!("{} AS \"time\"", group(column, width)?)
        }
        ("unixEpochFilter", [column]) => format!("{column} >= {first} AND {column} <= {last}"),
        ("unixEpochFrom", []) => first.to_string(),
        ("unixEpochTo", []) => last.to_string(),
        (_, _) => bail!("unknown macro $__{name} with {} arguments", arguments.len()),
    })
}

fn group(column: &str, width: &str) -> Result<String> {
    let seconds = seconds(width.trim_matches('\''))
        .with_context(|| format!("{width} is not a duration such as '5m'"))?;
    Ok(format!(
        "floor(extract(epoch from {column})/{seconds})*{seconds}"
    ))
}

/// `500ms`, `10s`, `5m`, `1h`, `1d`, `1w` in seconds.
fn seconds(width: &str) -> Option<f64> {
    let unit = width.find(|c: char| !c.is_ascii_digit())?;
    let number: f64 = width[..unit].parse().ok()?;
    let factor = match &width[unit..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    (number > 0.0).then_some(number * factor)
}

/// The arguments of a call that starts here, split at its outer commas, and what follows it.
/// Parentheses and commas inside quotes or inner calls belong to their argument.
fn arguments(text: &str) -> Option<(Vec<&str>, &str)> {
    let inside = text.strip_prefix('(')?;
    let (mut depth, mut quoted, mut start) = (0_u32, false, 0);
    let mut found = Vec::new();
    for (at, c) in inside.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                found.push(inside[start..at].trim());
                start = at + 1;
            }
            ')' => {
                let last = inside[start..at].trim();
                if !(last.is_empty() && found.is_empty()) {
                    found.push(last);
                }
                return Some((found, &inside[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};

    fn day() -> Range {
        Range {
            from: Utc.with_ymd_and_hms(2024, 1, 1, 0, 0, 0).unwrap(),
            to: Utc.with_ymd_and_hms(2024, 1, 2, 0, 0, 0).unwrap(),
        }
    }

    #[test]
    fn each_macro_is_what_grafana_sends() {
        for (written, sent) in [
            ("$__time(ts)", "ts AS \"time\""),
            ("$__timeEpoch(ts)", "extract(epoch from ts) as \"time\""),
            (
                "$__timeFilter(cast(ts as date))",
                "cast(ts as date) BETWEEN '2024-01-01T00:00:00Z' AND '2024-01-02T00:00:00Z'",
            ),
            ("$__timeFrom()", "'2024-01-01T00:00:00Z'"),
            ("x < $__timeTo() and y", "x < '2024-01-02T00:00:00Z' and y"),
            (
                "$__timeGroup(ts, '5m')",
                "floor(extract(epoch from ts)/300)*300",
            ),
            (
                "$__timeGroup(f(a, ','), '1h', NULL)",
                "floor(extract(epoch from f(a, ','))/3600)*3600",
            ),
            (
                "$__timeGroupAlias(ts, 1d)",
                "floor(extract(epoch from ts)/86400)*86400 AS \"time\"",
            ),
            (
                "$__timeGroup(ts, $__interval)",
                "floor(extract(epoch from ts)/86.4)*86.4",
            ),
            ("$__interval_ms", "86400"),
            (
                "$__unixEpochFilter(e)",
                "e >= 1704067200 AND e <= 1704153600",
            ),
            ("$__unixEpochFrom()", "1704067200"),
            ("select 1", "select 1"),
        ] {
            assert_eq!(expand(written, day()).unwrap(), sent, "{written}");
        }
    }

    #[test]
    fn what_grafana_would_refuse_is_refused() {
        for wrong in [
            "$__timeFliter(ts)",
            "$__timeFilter",
            "$__timeFilter(ts",
            "$__timeGroup(ts, 'x')",
        ] {
            assert!(expand(wrong, day()).is_err(), "{wrong}");
        }
    }
}
