//! What the warehouse keeps of the transactions, counted over a range.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio_postgres::{Client, IsolationLevel, Row};

use super::{OpenWarehouse, refusal};

/// How long the warehouse may take to answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same for one question, so that the server stops working on it, too.
const STATEMENT_PATIENCE: &str = "set local statement_timeout = '5s'";

/// The sources that the page shows, as the column `source` has them.
const SOURCES: [&str; 2] = ["generator", "third_party"];

/// How far back the page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Range {
    Hour,
    Day,
    Month,
}

impl Range {
    fn read(query: &str) -> Option<Self> {
        let mut values = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("range="));
        match (values.next(), values.next()) {
            (Some("hour"), None) => Some(Self::Hour),
            (Some("day"), None) => Some(Self::Day),
            (Some("month"), None) => Some(Self::Month),
            _ => None,
        }
    }

    /// Seconds of a step and how many there are.
    fn steps(self) -> (i64, usize) {
        match self {
            Self::Hour => (60, 60),
            Self::Day => (30 * 60, 48),
            Self::Month => (24 * 60 * 60, 30),
        }
    }
}

/// The answer: counts over `[from, to)`, whose end is the one of the step under way.
#[derive(Debug, Serialize)]
pub(super) struct History {
    range: Range,
    from: DateTime<Utc>,
    /// When it was asked.
    to: DateTime<Utc>,
    step_seconds: i64,
    sources: BTreeMap<&'static str, Counts>,
}

/// The counts of a source: `status` and `payment_method` by name, `volume` by step, from the oldest.
#[derive(Debug, Default, Serialize)]
struct Counts {
    status: Vec<(String, i64)>,
    payment_method: Vec<(String, i64)>,
    volume: Vec<i64>,
}

/// Why there are no counts.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    #[error("it does not answer within {} s", PATIENCE.as_secs())]
    TooSlow,
    #[error("no connection: {0}")]
    Connect(#[source] anyhow::Error),
    #[error("its tables are missing; run `factmill stream ecommerce` first")]
    NoTables(#[source] tokio_postgres::Error),
    #[error("the question failed; look at the log")]
    Query(#[source] tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for HistoryError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        match error.code() {
            Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
                Self::NoTables(error)
            }
            _ => Self::Query(error),
        }
    }
}

/// Asks the warehouse over one connection, opened when it is needed.
pub(super) struct Reader {
    open: OpenWarehouse,
    client: Mutex<Option<Client>>,
    status: String,
    payment_method: String,
}

impl Reader {
    pub(super) fn new(open: OpenWarehouse, schema: &str) -> Self {
        let question = |table, column| {
            // A minute belongs to the step that it begins in.
            format!(
                "select source, {column}, \
                     floor(extract(epoch from minute - $1::timestamptz) / $2::bigint)::bigint as step, \
                     sum(order_count)::bigint \
                 from {}.{} \
                 where minute >= $1 and minute < $3::timestamptz and source = any($4::text[]) \
                 group by 1, 2, 3",
                quoted(schema),
                quoted(table)
            )
        };
        Self {
            open,
            client: Mutex::new(None),
            status: question("agg_status_by_minute", "coalesce(status, 'Unknown')"),
            payment_method: question("agg_payment_method", "coalesce(payment_method, 'Unknown')"),
        }
    }

    async fn history(&self, range: Range, now: DateTime<Utc>) -> Result<History, HistoryError> {
        tokio::time::timeout(PATIENCE, self.ask(range, now))
            .await
            .unwrap_or(Err(HistoryError::TooSlow))
    }

    async fn ask(&self, range: Range, now: DateTime<Utc>) -> Result<History, HistoryError> {
        let mut client = self.client.lock().await;
        // Taken out while in use: a question that is dropped half-way drops its connection, too.
        let mut connected = match client.take().filter(|client| !client.is_closed()) {
            Some(connected) => connected,
            None => (self.open)().await.map_err(HistoryError::Connect)?,
        };
        let history = self.read(&mut connected, range, now).await?;
        *client = Some(connected);
        Ok(history)
    }

    /// Both questions see the same tables.
    async fn read(
        &self,
        client: &mut Client,
        range: Range,
        now: DateTime<Utc>,
    ) -> Result<History, HistoryError> {
        let (step_seconds, steps) = range.steps();
        let end = (now.timestamp().div_euclid(step_seconds) + 1) * step_seconds;
        let from = end - step_seconds * steps as i64;
        let at = |second| DateTime::from_timestamp(second, 0).unwrap_or_default();
        let (from, end) = (at(from), at(end));

        let transaction = client
            .build_transaction()
            .read_only(true)
            .isolation_level(IsolationLevel::RepeatableRead)
            .start()
            .await?;
        transaction.batch_execute(STATEMENT_PATIENCE).await?;
        let sources: &[&str] = &SOURCES;
        let bound: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&from, &step_seconds, &end, &sources];
        let by_status = transaction.query(&self.status, &bound).await?;
        let by_method = transaction.query(&self.payment_method, &bound).await?;
        transaction.commit().await?;

        let mut sources = BTreeMap::from(SOURCES.map(|source| {
            let counts = Counts {
                volume: vec![0; steps],
                ..Counts::default()
            };
            (source, counts)
        }));
        for row in &by_status {
            let (source, name, step, count) = fields(row)?;
            if let Some(counts) = sources.get_mut(source) {
                add(&mut counts.status, name, count);
                if let Some(volume) = usize::try_from(step)
                    .ok()
                    .and_then(|step| counts.volume.get_mut(step))
                {
                    *volume += count;
                }
            }
        }
        for row in &by_method {
            let (source, name, _, count) = fields(row)?;
            if let Some(counts) = sources.get_mut(source) {
                add(&mut counts.payment_method, name, count);
            }
        }
        Ok(History {
            range,
            from,
            to: now,
            step_seconds,
            sources,
        })
    }
}

/// `name` as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn fields(row: &Row) -> Result<(&str, &str, i64, i64), tokio_postgres::Error> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
    ))
}

fn add(counts: &mut Vec<(String, i64)>, name: &str, count: i64) {
    match counts.iter_mut().find(|(known, _)| known == name) {
        Some((_, sum)) => *sum += count,
        None => counts.push((name.to_owned(), count)),
    }
}

pub(super) async fn answer(
    State(reader): State<Arc<Reader>>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(range) = Range::read(&query.unwrap_or_default()) else {
        let expected = "ask for ?range=hour, ?range=day or ?range=month";
        return refusal(StatusCode::BAD_REQUEST, expected);
    };
    match reader.history(range, Utc::now()).await {
        Ok(history) => ([(header::CACHE_CONTROL, "no-store")], Json(history)).into_response(),
        Err(error) => {
            let causes = anyhow::Error::new(error);
            tracing::warn!(
                error = format!("{causes:#}"),
                "the page's history cannot be read"
            );
            refusal(StatusCode::SERVICE_UNAVAILABLE, &causes.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_asked_for_by_its_name_alone() {
        assert_eq!(Range::read("range=hour"), Some(Range::Hour));
        assert_eq!(Range::read("x=1&range=month"), Some(Range::Month));
        for wrong in [
            "",
            "range=",
            "range=year",
            "range=hour&range=day",
            "Range=day",
        ] {
            assert_eq!(Range::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_schema_is_quoted() {
        let open: OpenWarehouse = Arc::new(|| Box::pin(async { anyhow::bail!("not asked") }));
        let reader = Reader::new(open, "shop\" --");
        assert!(
            reader
                .status
                .contains(r#""shop"" --"."agg_status_by_minute""#)
        );
    }
}
