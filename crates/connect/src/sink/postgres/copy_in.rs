//! Sending encoded rows.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use factmill_core::table::TableName;
use futures::SinkExt;
use tokio_postgres::{CopyInSink, Statement, Transaction};

use super::encode::{HEADER, RowEncoder, TRAILER};
use super::error::WarehouseError;

/// Rows are sent in pieces of about this many bytes: large enough that a piece costs nothing
/// beside its rows, small enough to stay in the processor's cache and, with its slack, below the
/// size from which on the allocator gets fresh pages of the system for every block.
const PIECE: usize = 96 * 1024;
/// Room for one row beyond a full piece, so that the buffer seldom grows.
const SLACK: usize = 16 * 1024;

/// A `COPY … FROM STDIN (FORMAT binary)` under way. Dropped before [`CopyIn::finish`], it fails on
/// the server; the transaction is broken then, as after an error.
pub(super) struct CopyIn<'a> {
    table: &'a TableName,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    piece: BytesMut,
    /// The server has refused already: `finish` asks it why.
    refused: bool,
}

impl<'a> CopyIn<'a> {
    pub(super) async fn begin(
        tx: &Transaction<'_>,
        statement: &Statement,
        table: &'a TableName,
    ) -> Result<Self, WarehouseError> {
        let sink = tx
            .copy_in(statement)
            .await
            .map_err(|source| WarehouseError::writing(table, source))?;
        let mut piece = BytesMut::with_capacity(PIECE + SLACK);
        piece.put_slice(HEADER);
        Ok(Self {
            table,
            sink: Box::pin(sink),
            piece,
            refused: false,
        })
    }

    /// Sends the rows of one batch.
    pub(super) async fn write(&mut self, encoder: &RowEncoder) -> Result<(), WarehouseError> {
        for row in 0..encoder.rows() {
            encoder
                .encode(row, &mut self.piece)
                .map_err(|source| WarehouseError::encoding(self.table, source))?;
            if self.piece.len() >= PIECE {
                self.send().await;
                if self.refused {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self) {
        self.refused |= self.sink.feed(self.piece.split().freeze()).await.is_err();
        // Takes the same memory again once the connection has sent it.
        self.piece.reserve(PIECE + SLACK);
    }

    /// Ends the COPY; returns how many rows the server took.
    pub(super) async fn finish(mut self) -> Result<u64, WarehouseError> {
        self.piece.put_slice(TRAILER);
        self.send().await;
        self.sink
            .as_mut()
            .finish()
            .await
            .map_err(|source| WarehouseError::writing(self.table, source))
    }

    /// Whether rows that are sent now would be thrown away.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }
}

/// Copies the rows of one batch; returns their number.
pub(super) async fn copy_in(
    tx: &Transaction<'_>,
    statement: &Statement,
    table: &TableName,
    encoder: &RowEncoder,
) -> Result<u64, WarehouseError> {
    let mut copy = CopyIn::begin(tx, statement, table).await?;
    copy.write(encoder).await?;
    copy.finish().await
}
