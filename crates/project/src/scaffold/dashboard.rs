//! The Grafana dashboard: how much came, when, of what kind, and the newest rows; what was set aside.

use std::collections::HashSet;

use chrono::{DateTime, Days, NaiveTime, SecondsFormat, TimeZone, Utc};
use factmill_core::types::DeclaredType;
use serde_json::{Value, json};

use super::lines::Line;
use super::{Names, Scaffold};
use crate::infer::{free, identifier, is_label, is_money, words};

/// How many columns of the newest rows are shown.
const SHOWN: usize = 12;
/// How many columns the rows can be chosen by.
const VARIABLES: usize = 4;

/// What the panels ask about.
struct Asked<'a> {
    /// The table, quoted.
    table: String,
    /// The time column, quoted.
    time: Option<String>,
    /// A number worth adding up or averaging.
    measure: Option<&'a Line>,
    /// A text that tells kinds apart.
    kind: Option<&'a Line>,
    /// What rows are chosen by.
    variables: Vec<Variable<'a>>,
}

/// A template variable: some or all of the values of a column.
struct Variable<'a> {
    name: String,
    of: &'a Line,
}

impl Scaffold<'_> {
    /// The dashboard's JSON.
    pub(super) fn dashboard(&self, names: &Names, lines: &[Line], key: &[String]) -> String {
        let time = self.time(lines);
        let in_key = |line: &&Line| key.contains(&line.name);
        let measures = || {
            let numbers = lines
                .iter()
                .filter(|line| line.is_number() && !in_key(line));
            numbers.filter(|line| !is_label(&line.name))
        };
        let kind = lines
            .iter()
            .find(|line| !line.choices.is_empty())
            .or_else(|| {
                let texts = lines
                    .iter()
                    .filter(|line| line.declared == DeclaredType::Text);
                texts.clone().find(|line| in_key(line) && key.len() > 1)
            });
        let asked = Asked {
            table: format!("{}.{}", identifier(self.job), identifier(&names.fact_table)),
            time: time.as_deref().map(identifier),
            measure: measures()
                .find(|line| is_money(&line.name))
                .or_else(|| measures().find(|line| line.declared != DeclaredType::BigInt))
                .or_else(|| measures().next()),
            kind,
            variables: variables(lines, kind),
        };
        let title = title(self.job);
        let dashboard = json!({
            "uid": self.job,
            "title": title,
            "description": format!("{}: what the job {} keeps in Postgres.", self.about(), self.job),
            "tags": ["factmill", self.job],
            "timezone": "utc",
            "editable": false,
            "graphTooltip": 1,
            "schemaVersion": 41,
            "version": 1,
            "time": self.opens_on(),
            "timepicker": { "refresh_intervals": ["1s", "5s", "30s", "1m", "5m"] },
            "refresh": "5s",
            "fiscalYearStartMonth": 0,
            "annotations": { "list": [] },
            "links": [],
            "templating": { "list": asked.templating() },
            "panels": asked.panels(self.job, lines),
        });
        let mut text = format!("{dashboard:#}");
        text.push('\n');
        text
    }

    /// From the day of the earliest sampled record to now, or behind the latest where that is later.
    fn opens_on(&self) -> Value {
        let Some((first, last)) = self.inferred.range else {
            return json!({ "from": "now-24h", "to": "now" });
        };
        let written = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let midnight = |micros: i64, days: u64| {
            let at = Utc.timestamp_micros(micros).single()?;
            at.checked_add_days(Days::new(days))?
                .with_time(NaiveTime::MIN)
                .single()
        };
        let from = midnight(first, 0).map_or("now-24h".to_owned(), written);
        let to = match midnight(last, 1) {
            Some(behind) if last > self.now => written(behind),
            _ => "now".to_owned(),
        };
        json!({ "from": from, "to": to })
    }
}

/// The columns with few values, else the one that tells kinds apart.
fn variables<'a>(lines: &'a [Line], kind: Option<&'a Line>) -> Vec<Variable<'a>> {
    let chosen = lines.iter().filter(|line| !line.choices.is_empty());
    let mut columns: Vec<&Line> = chosen.take(VARIABLES).collect();
    if columns.is_empty() {
        columns.extend(kind);
    }
    let mut taken = HashSet::new();
    let variable = |of: &'a Line| {
        // Grafana knows no other letters in a name, and keeps those that begin with `__` for itself
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        let name: String = of.name.chars().filter(plain).collect();
        let name = match name.trim_matches('_') {
            "" => "kind",
            name => name,
        };
        Variable {
            name: free(name.to_owned(), &mut taken),
            of,
        }
    };
    columns.into_iter().map(variable).collect()
}

impl Variable<'_> {
    /// Holds for rows with a chosen value. All is a value of its own, so that rows without any are in it.
    fn condition(&self) -> String {
        let (name, column) = (&self.name, identifier(&self.of.name));
        format!("('*' in (${{{name}:sqlstring}}) or {column} in (${{{name}:sqlstring}}))")
    }
}

/// `parking_meters` as `Parking meters`.
fn title(job: &str) -> String {
    let words = job.replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

impl Asked<'_> {
    fn templating(&self) -> Vec<Value> {
        let table = &self.table;
        let variable = |variable: &Variable<'_>| {
            let column = identifier(&variable.of.name);
            json!({
                "name": variable.name,
                "label": title(&spaced(&variable.of.name)),
                "description": format!("The values of `{}` that are shown.", variable.of.name),
                "type": "query",
                "datasource": datasource(),
                "query": format!("select distinct {column} from {table} where {column} is not null order by 1"),
                "refresh": 2,
                "sort": 1,
                "multi": true,
                "includeAll": true,
                "allValue": "'*'",
                "current": { "text": ["All"], "value": ["$__all"] },
                "options": [],
                "regex": "",
                "hide": 0,
                "skipUrlSync": false,
            })
        };
        self.variables.iter().map(variable).collect()
    }

    fn panels(&self, job: &str, lines: &[Line]) -> Vec<Value> {
        let mut panels = Vec::new();
        let mut stat = |title: &str, about: String, sql: String, defaults: Value, fields: &str| {
            panels.push(panel(
                "stat",
                title,
                &about,
                [0, 0, 0, 4],
                "table",
                &sql,
                defaults,
                stat_options(fields),
            ));
        };
        let table = &self.table;
        let when = self.filter();
        stat(
            "Rows",
            "Rows of the chosen time.".to_owned(),
            format!("select count(*) as rows\nfrom {table}{when}"),
            thresholds(json!({ "unit": "locale", "decimals": 0 })),
            "",
        );
        if let Some(time) = &self.time {
            stat(
                "Newest",
                "Event time of the newest row: it moves while the stream runs.".to_owned(),
                format!("select max({time}) as newest\nfrom {table}{when}"),
                thresholds(json!({ "unit": "dateTimeAsIso" })),
                "/.*/",
            );
        }
        if let Some(measure) = self.measure {
            let (function, word) = summary(measure);
            let name = identifier(&measure.name);
            stat(
                &format!("{word} {}", spaced(&measure.name)),
                format!("{word} of `{}` in the chosen time.", measure.name),
                format!("select coalesce({function}({name}), 0) as value\nfrom {table}{when}"),
                thresholds(json!({ "unit": "locale", "decimals": 2 })),
                "",
            );
        }
        if let Some(kind) = self.kind {
            let name = identifier(&kind.name);
            stat(
                &format!("Different {}", spaced(&kind.name)),
                format!("How many values of `{}` there are.", kind.name),
                format!("select count(distinct {name}) as value\nfrom {table}{when}"),
                thresholds(json!({ "unit": "locale", "decimals": 0 })),
                "",
            );
        }
        panels.push(set_aside(job));
        let count = panels.len();
        for (place, panel) in panels.iter_mut().enumerate() {
            let (from, to) = (24 * place / count, 24 * (place + 1) / count);
            panel["gridPos"]["x"] = json!(from);
            panel["gridPos"]["w"] = json!(to - from);
        }
        let mut y = 4;
        if let Some(time) = &self.time {
            panels.extend(self.over_time(time, y));
            y += 8;
        }
        if let Some(kind) = self.kind {
            let name = identifier(&kind.name);
            let sql = format!(
                "select\n  coalesce({name}, 'none') as kind,\n  count(*) as rows\nfrom {table}{when}\ngroup by 1\norder by rows desc\nlimit 20"
            );
            let options = json!({
                "orientation": "horizontal", "showValue": "auto", "xField": "kind",
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": false },
                "tooltip": { "mode": "single", "sort": "none" },
            });
            let defaults = json!({
                "unit": "locale", "decimals": 0, "min": 0, "custom": { "fillOpacity": 80, "lineWidth": 0 }
            });
            let title = format!("Rows by {}", spaced(&kind.name));
            let about = format!("Rows of the chosen time for each `{}`.", kind.name);
            panels.push(panel(
                "barchart",
                &title,
                &about,
                [0, y, 24, 8],
                "table",
                &sql,
                defaults,
                options,
            ));
            y += 8;
        }
        panels.push(self.newest(lines, y));
        for (index, panel) in panels.iter_mut().enumerate() {
            panel["id"] = json!(index + 1);
        }
        panels
    }

    /// ` where …` the chosen time and values; nothing where rows have neither.
    fn filter(&self) -> String {
        let time = self.time.as_ref();
        let time = time.map(|time| format!("$__timeFilter({time})"));
        let chosen = self.variables.iter().map(Variable::condition);
        let conditions: Vec<String> = time.into_iter().chain(chosen).collect();
        match conditions.is_empty() {
            true => String::new(),
            false => format!("\nwhere {}", conditions.join("\n  and ")),
        }
    }

    fn over_time(&self, time: &str, y: u32) -> Vec<Value> {
        let table = &self.table;
        let group = format!("$__timeGroupAlias({time}, $__interval)");
        let rows = format!(
            "select\n  {group},\n  count(*) as rows\nfrom {table}{}\ngroup by 1\norder by 1",
            self.filter()
        );
        let bars = json!({
            "unit": "locale", "decimals": 0, "min": 0,
            "custom": {
                "drawStyle": "bars", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 80,
                "showPoints": "never", "spanNulls": false, "axisSoftMin": 0,
            },
        });
        let width = if self.measure.is_some() { 12 } else { 24 };
        let about = "Rows by event time; an interval is as long as the chosen time asks for.";
        let mut panels = vec![panel(
            "timeseries",
            "Rows over time",
            about,
            [0, y, width, 8],
            "time_series",
            &rows,
            bars,
            series_options(),
        )];
        if let Some(measure) = self.measure {
            let (function, word) = summary(measure);
            let name = identifier(&measure.name);
            let sql = format!(
                "select\n  {group},\n  {function}({name}) as {name}\nfrom {table}{}\n  and {name} is not null\ngroup by 1\norder by 1",
                self.filter()
            );
            let line = json!({
                "unit": "locale", "decimals": 2,
                "custom": {
                    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 2, "fillOpacity": 20,
                    "showPoints": "auto", "spanNulls": true,
                },
            });
            let title = format!("{word} {} over time", spaced(&measure.name));
            let about = format!("{word} of `{}` in each interval.", measure.name);
            panels.push(panel(
                "timeseries",
                &title,
                &about,
                [12, y, 12, 8],
                "time_series",
                &sql,
                line,
                series_options(),
            ));
        }
        panels
    }

    fn newest(&self, lines: &[Line], y: u32) -> Value {
        let columns: Vec<String> = lines.iter().take(SHOWN).map(shown).collect();
        let order = self
            .time
            .as_ref()
            .map(|time| format!("\norder by {time} desc"))
            .unwrap_or_default();
        let sql = format!(
            "select\n  {}\nfrom {}{}{order}\nlimit 20",
            columns.join(",\n  "),
            self.table,
            self.filter()
        );
        let (title, about) = match self.time {
            Some(_) => (
                "Newest rows",
                "The rows that happened last in the chosen time.",
            ),
            None => ("Rows", "Some of the rows."),
        };
        let options = json!({
            "showHeader": true, "cellHeight": "sm",
            "footer": { "show": false, "reducer": ["sum"], "countRows": false, "fields": "" },
        });
        panel(
            "table",
            title,
            about,
            [0, y, 24, 10],
            "table",
            &sql,
            json!({}),
            options,
        )
    }
}

/// Money and counts add up, measures have a mean.
fn summary(measure: &Line) -> (&'static str, &'static str) {
    let adds_up = is_money(&measure.name) && measure.declared != DeclaredType::Double
        || words(&measure.name)
            .iter()
            .any(|word| matches!(word.as_str(), "count" | "quantity" | "qty"));
    if adds_up {
        ("sum", "Total")
    } else {
        ("avg", "Mean")
    }
}

/// How many records of a job are set aside; from there to the newest of them.
fn set_aside(job: &str) -> Value {
    let mut defaults = json!({ "unit": "locale", "decimals": 0 });
    defaults["thresholds"] = json!({
        "mode": "absolute",
        "steps": [{ "color": "green", "value": null }, { "color": "red", "value": 1 }],
    });
    defaults["links"] = json!([{
        "title": "Show the newest dead letter",
        "url": format!("/d/pipeline/pipeline?var-job={job}&var-dead_letter=${{__data.fields.newest}}"),
    }]);
    let mut options = stat_options("");
    // the row itself, not a reduction of it, knows its other columns
    options["reduceOptions"] = json!({ "calcs": [], "fields": "", "values": true, "limit": 1 });
    let sql = format!(
        "select count(*) as dead_letters, coalesce(max(id)::text, '') as newest\n\
         from factmill.dead_letter_list\nwhere job = '{job}'\n  and status = 'open'"
    );
    panel(
        "stat",
        "Dead letters",
        "Records of this job that are set aside, whenever that was: red from the first one. A click shows the newest of them.",
        [0, 0, 0, 4],
        "table",
        &sql,
        defaults,
        options,
    )
}

fn datasource() -> Value {
    json!({ "type": "grafana-postgresql-datasource", "uid": "warehouse" })
}

fn spaced(name: &str) -> String {
    name.trim_matches('_').replace('_', " ")
}

/// A column of the table of rows: what may be null is shown as an empty text.
fn shown(line: &Line) -> String {
    let name = identifier(&line.name);
    match line.is_always_there {
        true => name,
        false => format!("coalesce({name}::text, '') as {name}"),
    }
}

fn thresholds(mut defaults: Value) -> Value {
    defaults["thresholds"] =
        json!({ "mode": "absolute", "steps": [{ "color": "blue", "value": null }] });
    defaults
}

fn stat_options(fields: &str) -> Value {
    json!({
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": fields, "values": false },
        "colorMode": "value", "graphMode": "none", "textMode": "auto", "justifyMode": "auto",
        "orientation": "auto", "wideLayout": true,
    })
}

fn series_options() -> Value {
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of Grafana's own object, each once"
)]
fn panel(
    kind: &str,
    title: &str,
    about: &str,
    [x, y, w, h]: [u32; 4],
    format: &str,
    sql: &str,
    defaults: Value,
    options: Value,
) -> Value {
    let datasource = datasource();
    json!({
        "id": 0,
        "title": title,
        "description": about,
        "type": kind,
        "datasource": datasource,
        "gridPos": { "x": x, "y": y, "w": w, "h": h },
        "targets": [{
            "refId": "A", "datasource": datasource, "editorMode": "code", "format": format,
            "rawQuery": true, "rawSql": sql,
        }],
        "fieldConfig": { "defaults": defaults, "overrides": [] },
        "options": options,
    })
}
