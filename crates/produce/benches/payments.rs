//! How many rows a second get from a CSV file of payments to a real broker's acknowledgement, the
//! broker on the same machine: `cargo bench -p factmill-produce --bench payments`. One file of 1 GB,
//! cleaned only and then sent; rows a second and the most memory are printed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use factmill_produce::payments::{PaymentsSettings, PaymentsSource};
use factmill_produce::{Event, EventSource, Next, ProduceConfig, produce};
use factmill_testkit::Kafka;
use tokio_util::sync::CancellationToken;

const BYTES: u64 = 1_000_000_000;
/// Rows of the file that are sent.
const SENT: u64 = 5_000_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("payments.csv");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/samples");
    repeat(&samples.join("payments.csv"), &input)?;
    let settings = PaymentsSettings::new(input, samples.join("payments.scaler.json"));

    let begun = Instant::now();
    let mut source = PaymentsSource::open(settings.clone())?;
    println!(
        "opened and hashed in {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let (begun, mut event, mut events) = (Instant::now(), Event::default(), 0_u64);
    loop {
        event.clear();
        match source.next(&mut event) {
            Ok(Next::End) => break,
            Ok(_) => events += 1,
            Err(error) => return Err(error.to_string().into()),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rows = source.meter().report().rows;
    println!(
        "{rows} rows read and cleaned to {events} events in {seconds:.2} s: {:.0} rows/s",
        rows as f64 / seconds
    );
    println!("most memory so far: {}", most_memory()?);

    let kafka = Kafka::start().await?;
    let config = ProduceConfig {
        count: Some(SENT),
        ..ProduceConfig::new(
            [("bootstrap.servers".to_owned(), kafka.brokers().to_owned())],
            "financial_transactions",
        )
    };
    let source = PaymentsSource::open(settings)?;
    let report = produce(config, source, &CancellationToken::new(), |_| {}).await?;
    println!(
        "{} events acknowledged in {:.2} s: {:.0} events/s, {:.0} MB/s",
        report.acknowledged,
        report.seconds,
        report.acknowledged as f64 / report.seconds,
        report.bytes as f64 / report.seconds / 1e6,
    );
    println!("most memory: {}", most_memory()?);
    Ok(())
}

/// Writes the rows of the sample again and again.
fn repeat(sample: &Path, to: &Path) -> std::io::Result<()> {
    let sample = std::fs::read_to_string(sample)?;
    let (header, rows) = sample.split_once('\n').unwrap_or_default();
    let mut file = BufWriter::new(File::create(to)?);
    writeln!(file, "{header}")?;
    for _ in 0..BYTES / rows.len() as u64 {
        file.write_all(rows.as_bytes())?;
    }
    file.flush()
}

/// What the kernel knows of the process's largest resident memory.
fn most_memory() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}
