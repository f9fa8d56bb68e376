//! How fast banking's events are made, without a broker: `cargo bench -p factmill-produce`.
#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use factmill_produce::Event;
use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};

fn generate(c: &mut Criterion) {
    let settings = BankingSettings {
        seed: 1,
        spread: Spread::Steps,
        bad_percent: 1.0,
    };
    let events = BankingEvents::new(settings).expect("1 is a percentage");
    let mut event = Event::default();
    let mut group = c.benchmark_group("banking");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1000 events", |bencher| {
        let mut index = 0;
        bencher.iter(|| {
            for _ in 0..1000 {
                event.clear();
                events.write(index, &mut event);
                black_box(event.payload());
                index += 1;
            }
        });
    });
    group.finish();
}

criterion_group!(benches, generate);
criterion_main!(benches);
