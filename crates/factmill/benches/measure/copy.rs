//! (b): the fact rows by one bare `COPY BINARY` on one connection, in one transaction, into a table
//! with the same columns and primary key as the one that they were read from.

use std::fmt;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use super::world::Place;

/// Bytes of one message to the server; as factmill sends them.
const PIECE: usize = 128 * 1024;

/// The order in which the rows are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// That of their records: event time, which is the order they were produced in. Their key, a
    /// random uuid, is in no order then.
    Arrival,
    /// Sorted by key within stretches of 50,000 rows, about what an epoch holds.
    KeyWithinEpochs,
}

impl Order {
    fn by(self) -> &'static str {
        match self {
            Self::Arrival => "_factmill_order",
            Self::KeyWithinEpochs => {
                "(row_number() over (order by _factmill_order) - 1) / 50000, transaction_id"
            }
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrival => "rows as they come",
            Self::KeyWithinEpochs => "rows sorted by key in epochs of 50,000",
        })
    }
}

/// Rows a second, from `COPY` to the end of its transaction.
pub(crate) async fn load(place: &Place, order: Order) -> Result<f64> {
    let client = place.database.connect().await?;
    let pieces = rows(&client, order).await?;
    client
        .batch_execute(
            "drop table if exists bare_facts; \
             create table bare_facts (like banking.fct_transactions including all); checkpoint",
        )
        .await?;
    let began = Instant::now();
    let mut copy = pin!(
        client
            .copy_in("copy bare_facts from stdin (format binary)")
            .await?
    );
    for piece in pieces {
        copy.feed(piece).await?;
    }
    let count = copy.finish().await?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// The rows that factmill wrote, as Postgres sends them, in pieces.
async fn rows(client: &Client, order: Order) -> Result<Vec<Bytes>> {
    let query = format!(
        "copy (select * from banking.fct_transactions order by {}) to stdout (format binary)",
        order.by()
    );
    client.batch_execute("set work_mem = '1GB'").await?;
    let mut sent = pin!(
        client
            .copy_out(&query)
            .await
            .context("reading the fact rows")?
    );
    let (mut pieces, mut piece) = (Vec::new(), BytesMut::new());
    while let Some(row) = sent.try_next().await? {
        piece.extend_from_slice(&row);
        if piece.len() >= PIECE {
            pieces.push(piece.split().freeze());
        }
    }
    pieces.push(piece.freeze());
    Ok(pieces)
}
