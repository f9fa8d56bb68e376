//! Encoding the fact rows of the banking job for `COPY`, without a server.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]

mod banking;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use factmill_connect::sink::postgres::encode::RowEncoder;

const ROWS: usize = 8192;
const PIECE: usize = 128 * 1024;

fn encode(criterion: &mut Criterion) {
    let table = banking::table("fct_transactions");
    let rows = banking::rows(0, ROWS, 0);
    let columns = banking::columns(&table);
    let mut group = criterion.benchmark_group("copy");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("encode banking facts", |bencher| {
        let mut piece = BytesMut::with_capacity(2 * PIECE);
        bencher.iter(|| {
            let columns = columns
                .iter()
                .map(|(name, data_type)| (name.as_str(), data_type));
            let encoder = RowEncoder::new(&rows, columns).unwrap();
            for row in 0..encoder.rows() {
                encoder.encode(row, &mut piece).unwrap();
                if piece.len() >= PIECE {
                    black_box(&piece);
                    piece.clear();
                }
            }
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    encode(&mut criterion);
    criterion.final_summary();
}
