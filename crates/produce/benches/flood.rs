//! How many of banking's events a second reach a real broker at `--rate max`, the broker on the same
//! machine: `cargo bench -p factmill-produce --bench flood`. One run of 2,000,000 events, printed.

use std::sync::Arc;

use factmill_produce::banking::{BankingEvents, BankingSettings, Spread};
use factmill_produce::{ProduceConfig, produce};
use factmill_testkit::Kafka;
use tokio_util::sync::CancellationToken;

const EVENTS: u64 = 2_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kafka = Kafka::start().await?;
    let settings = BankingSettings {
        seed: 1,
        spread: Spread::Month(EVENTS),
        bad_percent: 0.0,
    };
    let events = Arc::new(BankingEvents::new(settings)?);
    let config = ProduceConfig {
        count: Some(EVENTS),
        ..ProduceConfig::new(
            [("bootstrap.servers".to_owned(), kafka.brokers().to_owned())],
            "flood",
        )
    };
    let report = produce(
        config,
        events.starting_at(0),
        &CancellationToken::new(),
        |_| {},
    )
    .await?;
    println!(
        "{} events acknowledged in {:.2} s: {:.0} events/s, {:.0} MB/s",
        report.acknowledged,
        report.seconds,
        report.acknowledged as f64 / report.seconds,
        report.bytes as f64 / report.seconds / 1e6,
    );
    Ok(())
}
