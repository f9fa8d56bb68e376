//! What banking's tables must hold, computed from the topic's payloads by plain code: an
//! independent reading of the contract, with nothing of factmill in it.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Datelike, NaiveDateTime, Utc, Weekday};
use serde_json::Value;
use tokio_postgres::Client;

/// One record as the topic has it.
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) payload: Option<Vec<u8>>,
}

/// The rows that facts must hold and the places of the records that must be dead letters.
pub(super) struct Expected {
    facts: HashMap<String, Fact>,
    pub(super) broken: Vec<(i32, i64)>,
    pub(super) records: usize,
}

/// A row of `fct_transactions`, its columns as Postgres prints them, and what makes it the newest.
struct Fact {
    order: (i64, i32, i64),
    columns: [Option<String>; 11],
}

impl Expected {
    /// Reads the whole topic's records.
    pub(super) fn of(records: &[Record]) -> Self {
        let mut facts: HashMap<String, Fact> = HashMap::new();
        let mut broken = Vec::new();
        for record in records {
            match record
                .payload
                .as_deref()
                .and_then(|payload| fact(payload, record))
            {
                None => broken.push((record.partition, record.offset)),
                Some((id, fact)) => match facts.get(&id) {
                    Some(known) if known.order > fact.order => {}
                    _ => {
                        facts.insert(id, fact);
                    }
                },
            }
        }
        broken.sort_unstable();
        Self {
            facts,
            broken,
            records: records.len(),
        }
    }

    /// Compares with the warehouse, both ways and by content; with dead letters by position.
    pub(super) async fn compare(&self, warehouse: &Client, schema: &str) -> Result<()> {
        self.compare_facts(warehouse, schema).await?;
        let rows = warehouse
            .query("select partition::int, \"offset\" from factmill.dead_letters where job = $1 order by 1, 2", &[&schema])
            .await?;
        let dead: Vec<(i32, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        ensure!(
            dead == self.broken,
            "{} dead letters, {} records are broken; first difference {:?}",
            dead.len(),
            self.broken.len(),
            dead.iter()
                .zip(&self.broken)
                .find(|(dead, broken)| dead != broken)
        );
        Ok(())
    }

    async fn compare_facts(&self, warehouse: &Client, schema: &str) -> Result<()> {
        let rows = warehouse
            .query(
                &format!(
                    "select transaction_id::text, to_char(ts at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), account_id, \
                     customer_id, merchant_id, amount::text, currency, transaction_type, day_type, channel, status \
                     from \"{schema}\".fct_transactions"
                ),
                &[],
            )
            .await?;
        ensure!(
            rows.len() == self.facts.len(),
            "{} facts loaded, {} expected",
            rows.len(),
            self.facts.len()
        );
        for row in rows {
            let id: String = row.get(0);
            let expected = self
                .facts
                .get(&id)
                .with_context(|| format!("fact {id} was never sent"))?;
            for (index, wanted) in expected.columns.iter().enumerate() {
                let found: Option<String> = row.get(index);
                ensure!(
                    found == *wanted,
                    "fact {id}, column {index}: {found:?} loaded, {wanted:?} sent"
                );
            }
        }
        Ok(())
    }
}

/// The fact of a payload; `None` when the payload breaks the contract.
fn fact(payload: &[u8], record: &Record) -> Option<(String, Fact)> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let event = event.as_object()?;
    let id = text(event.get("transaction_id"))??.to_lowercase();
    let id = uuid::Uuid::parse_str(&id).ok()?.to_string();
    let instant = instant(&text(event.get("timestamp"))??)?;
    let customer = object(event.get("customer"))?;
    let merchant = object(event.get("merchant"))?;
    let field = |of: &Option<serde_json::Map<String, Value>>, name: &str| {
        text(of.as_ref().and_then(|of| of.get(name)))
    };
    for name in ["name", "city", "email"] {
        field(&customer, name)?;
    }
    for name in ["name", "category"] {
        field(&merchant, name)?;
    }
    let weekend = matches!(instant.weekday(), Weekday::Sat | Weekday::Sun);
    let columns = [
        Some(id.clone()),
        Some(instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string()),
        Some(text(event.get("account_id"))??),
        field(&customer, "customer_id")?,
        field(&merchant, "merchant_id")?,
        Some(amount(event.get("amount"))??),
        text(event.get("currency"))?,
        text(event.get("transaction_type"))?,
        Some(if weekend { "weekend" } else { "weekday" }.to_owned()),
        text(event.get("channel"))?,
        text(event.get("status"))?,
    ];
    let order = (instant.timestamp_micros(), record.partition, record.offset);
    Some((id, Fact { order, columns }))
}

/// Text or null; `None` for anything else, or for text that Postgres cannot hold.
fn text(value: Option<&Value>) -> Option<Option<String>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) if !text.contains('\0') => Some(Some(text.clone())),
        Some(_) => None,
    }
}

/// An object or null; `None` for anything else.
fn object(value: Option<&Value>) -> Option<Option<serde_json::Map<String, Value>>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::Object(fields)) => Some(Some(fields.clone())),
        Some(_) => None,
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .or_else(|_| {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|local| local.and_utc())
        })
        .ok()
}

/// `numeric(18,2)` as Postgres prints it; `None` when the value does not fit exactly.
fn amount(value: Option<&Value>) -> Option<Option<String>> {
    let written = match value {
        None | Some(Value::Null) => return Some(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return None,
    };
    let (sign, digits) = written
        .strip_prefix('-')
        .map_or(("", written.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = !whole.is_empty()
        && whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
    let lost = fraction.len() > 2 && fraction[2..].bytes().any(|byte| byte != b'0');
    let whole = whole.trim_start_matches('0');
    if !plain || lost || whole.len() > 16 {
        return None;
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let cents = format!("{fraction:0<2}");
    let printed = format!("{whole}.{}", &cents[..2]);
    let zero = printed.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    Some(Some(if zero {
        printed
    } else {
        format!("{sign}{printed}")
    }))
}
