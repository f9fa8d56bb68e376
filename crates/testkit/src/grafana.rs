//! Runs what a Grafana dashboard runs: its panels' queries, with Grafana's macros filled in.
//!
//! The Grafana server cannot be part of the tests, but what its dashboards ask the warehouse can.
//! The macros are those of Grafana's PostgreSQL data source, as its documentation lists them.

mod macros;
mod schema;
mod variables;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Months, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

pub use schema::{GRAFANA, check_dashboards};
pub use variables::Variable;

pub(crate) use schema::install;

/// A dashboard file.
#[derive(Debug)]
pub struct Dashboard {
    /// Its title.
    pub title: String,
    /// The time range that it opens on; one that ends `now` ends when the file is read.
    pub range: Range,
    /// Its own variables, at the values that it opens with.
    pub variables: Vec<Variable>,
    /// Every query of every panel, also of those inside collapsed rows, in the file's order.
    pub queries: Vec<PanelQuery>,
}

/// One query of a panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelQuery {
    /// The panel's title.
    pub panel: String,
    /// What the panel says about itself; empty where it says nothing.
    pub description: String,
    /// The uid of the data source that answers it.
    pub datasource: String,
    /// The query as written, macros included.
    pub sql: String,
}

/// A time range, both ends included as Grafana does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub from: DateTime<Utc>,
    /// The last moment.
    pub to: DateTime<Utc>,
}

impl Dashboard {
    /// Reads a dashboard file.
    ///
    /// # Errors
    /// When it is no dashboard, its times are none, or a panel other than a row or a text has no query.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("could not read the dashboard {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("in the dashboard {}", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let dashboard: Value = serde_json::from_str(text).context("it is not JSON")?;
        let mut queries = Vec::new();
        collect(&dashboard, &mut queries)?;
        let now = Utc::now();
        Ok(Self {
            title: string(&dashboard, "title")?.to_owned(),
            range: Range {
                from: moment(&dashboard["time"], "from", now)?,
                to: moment(&dashboard["time"], "to", now)?,
            },
            variables: variables::of(&dashboard)?,
            queries,
        })
    }

    /// The SQL that Grafana would send for a query over the range that the dashboard opens on.
    ///
    /// # Errors
    /// When a macro is unknown or wrongly used, or a variable asks for an unknown format.
    pub fn sql(&self, query: &PanelQuery) -> Result<String> {
        variables::expand(&query.sql, &self.variables)
            .and_then(|sql| macros::expand(&sql, self.range))
            .with_context(|| format!("in a query of the panel {}", query.panel))
    }
}

/// The queries of the panels of a dashboard, or of a collapsed row.
fn collect(of: &Value, queries: &mut Vec<PanelQuery>) -> Result<()> {
    let panels = of["panels"].as_array().context("it has no panels")?;
    for panel in panels {
        let kind = string(panel, "type")?;
        if kind == "row" {
            if panel["panels"].is_array() {
                collect(panel, queries)?;
            }
            continue;
        }
        let title = string(panel, "title")?;
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        ensure!(
            kind == "text" || !targets.is_empty(),
            "the panel {title} has no query"
        );
        for target in targets {
            queries.push(PanelQuery {
                panel: title.to_owned(),
                description: panel["description"].as_str().unwrap_or_default().to_owned(),
                datasource: string(&target["datasource"], "uid")
                    .or_else(|_| string(&panel["datasource"], "uid"))?
                    .to_owned(),
                sql: string(target, "rawSql")?.to_owned(),
            });
        }
    }
    Ok(())
}

fn string<'a>(of: &'a Value, key: &str) -> Result<&'a str> {
    of[key]
        .as_str()
        .with_context(|| format!("a text `{key}` is missing"))
}

/// An absolute time, or `now`, `now-1h`, `now-7d` and the like.
fn moment(of: &Value, key: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let text = string(of, key)?;
    if let Some(ago) = text.strip_prefix("now") {
        return relative(ago, now).with_context(|| format!("its time `{key}` is {text}"));
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => Ok(moment.to_utc()),
        Err(error) => bail!("its time `{key}` is {text}: {error}"),
    }
}

fn relative(ago: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if ago.is_empty() {
        return Some(now);
    }
    let ago = ago.strip_prefix('-')?;
    let unit = ago.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = ago[..unit].parse().ok()?;
    let past = match &ago[unit..] {
        "s" => TimeDelta::try_seconds(number)?,
        "m" => TimeDelta::try_minutes(number)?,
        "h" => TimeDelta::try_hours(number)?,
        "d" => TimeDelta::try_days(number)?,
        "w" => TimeDelta::try_weeks(number)?,
        "M" => return now.checked_sub_months(Months::new(u32::try_from(number).ok()?)),
        _ => return None,
    };
    now.checked_sub_signed(past)
}

impl Range {
    /// As Grafana writes a moment into a query: RFC 3339, fractions only where there are some.
    fn literal(moment: DateTime<Utc>) -> String {
        format!("'{}'", moment.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use super::*;

    const DASHBOARD: &str = r#"{
        "title": "Shop",
        "time": { "from": "2024-01-01T00:00:00.000Z", "to": "2024-02-01T00:00:00Z" },
        "panels": [
            { "type": "text", "title": "Notes" },
            { "type": "row", "title": "More", "panels": [
                { "type": "stat", "title": "Orders", "description": "all", "datasource": { "uid": "w" },
                  "targets": [{ "rawSql": "select count(*) from o where $__timeFilter(ts)" }] }
            ] }
        ]
    }"#;

    #[test]
    fn panels_in_rows_are_found_and_their_queries_expanded() {
        let dashboard = Dashboard::parse(DASHBOARD).unwrap();
        assert_eq!(dashboard.title, "Shop");
        assert_eq!(dashboard.queries.len(), 1);
        let query = &dashboard.queries[0];
        assert_eq!(
            (query.panel.as_str(), query.datasource.as_str()),
            ("Orders", "w")
        );
        assert_eq!(
            dashboard.sql(query).unwrap(),
            "select count(*) from o where ts BETWEEN '2024-01-01T00:00:00Z' AND '2024-02-01T00:00:00Z'"
        );
    }

    #[test]
    fn a_panel_without_a_query_or_a_time_that_is_none_is_an_error() {
        let without = DASHBOARD.replace("\"text\"", "\"stat\"");
        let error = Dashboard::parse(&without).unwrap_err().to_string();
        assert_eq!(error, "the panel Notes has no query");
        for wrong in ["now-", "now-1y", "now+1h", "today"] {
            let wrong = DASHBOARD.replace("2024-02-01T00:00:00Z", wrong);
            let error = Dashboard::parse(&wrong).unwrap_err().to_string();
            assert!(error.contains("its time `to` is"), "{error}");
        }
    }

    #[test]
    fn a_range_may_end_now() {
        let relative = DASHBOARD
            .replace("2024-01-01T00:00:00.000Z", "now-24h")
            .replace("2024-02-01T00:00:00Z", "now");
        let range = Dashboard::parse(&relative).unwrap().range;
        assert_eq!(range.to - range.from, TimeDelta::days(1));
    }
}
