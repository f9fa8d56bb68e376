//! The page in a real browser, with the real services, a simulated third party and a real warehouse.
//! Its pictures are kept in `target/screenshots`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;

use factmill_produce::ecommerce::{self, EcommerceError, EcommerceSettings, Listeners};
use factmill_produce::{Acknowledgement, Event, Outbox, ProduceError, Rate, Stored};
use factmill_testkit::{Browser, Postgres};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

/// So many events of each source are acknowledged, and no more are shown.
const SHOWN: usize = 40;

const SOURCES: [&str; 2] = ["generator", "third_party"];

/// Keeps events by source and acknowledges the first ones of each.
#[derive(Default)]
struct Gate {
    kept: Mutex<BTreeMap<String, Vec<Value>>>,
    held: Mutex<Vec<Teller>>,
}

type Teller = Box<dyn std::any::Any + Send>;
type Put<'f> = Pin<Box<dyn Future<Output = Result<Acknowledgement, ProduceError>> + Send + 'f>>;

impl Outbox for Gate {
    fn put<'l, 'e, 'f>(&'l self, event: &'e Event) -> Put<'f>
    where
        'l: 'f,
        'e: 'f,
        Self: 'f,
    {
        let source = String::from_utf8(event.headers()[0].1.clone()).unwrap();
        let document = serde_json::from_slice(event.payload().unwrap()).unwrap();
        let (tell, acknowledgement) = Acknowledgement::pending("transactions_topic");
        let mut kept = self.kept.lock().unwrap();
        let of_source = kept.entry(source).or_default();
        if of_source.len() < SHOWN {
            let offset = of_source.len() as i64;
            of_source.push(document);
            let _ = tell.send(Ok(Stored {
                partition: 0,
                offset,
            }));
        } else {
            self.held.lock().unwrap().push(Box::new(tell));
        }
        Box::pin(async move { Ok(acknowledgement) })
    }
}

impl Gate {
    /// Counts of a source by a field, as the page writes the field.
    fn counts(&self, source: &str, field: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for document in &self.kept.lock().unwrap()[source] {
            let text = document[field].as_str().unwrap();
            let shown = match field {
                "status" => text[..1].to_uppercase() + &text[1..].to_lowercase(),
                _ => text.to_owned(),
            };
            *counts.entry(shown).or_default() += 1;
        }
        counts
    }
}

/// The two services at fixed places, so that they can come back.
struct Services {
    cancel: CancellationToken,
    served: JoinHandle<Result<(), EcommerceError>>,
}

impl Services {
    async fn start(addresses: [SocketAddr; 2], api: SocketAddr, gate: &Arc<Gate>) -> Self {
        let settings = EcommerceSettings {
            rate: Rate::PerSecond(20.0),
            third_party: format!("http://{api}/transactions"),
            ..EcommerceSettings::new("transactions_topic")
        };
        let listeners = Listeners {
            generator: TcpListener::bind(addresses[0]).await.unwrap(),
            third_party: TcpListener::bind(addresses[1]).await.unwrap(),
        };
        let cancel = CancellationToken::new();
        let (token, outbox) = (cancel.clone(), Arc::clone(gate));
        let served = tokio::spawn(async move {
            ecommerce::serve_with(listeners, settings, outbox, &token).await
        });
        Self { cancel, served }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.served.await.unwrap().unwrap();
    }
}

async fn free() -> SocketAddr {
    let listener = listener().await;
    listener.local_addr().unwrap()
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// The page on a free port, its warehouse at `database`.
async fn page(services: [SocketAddr; 2], database: String) -> (SocketAddr, CancellationToken) {
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    let page = Page {
        generator: format!("http://{}", services[0]),
        third_party: format!("http://{}/", services[1]),
        schema: "ecommerce".into(),
        warehouse: Arc::new(move || {
            let database = database.clone();
            Box::pin(async move {
                let (client, connection) =
                    tokio_postgres::connect(&database, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            })
        }),
    };
    let cancel = CancellationToken::new();
    tokio::spawn(serve(listener, page, cancel.clone()));
    (address, cancel)
}

/// A table of the page as names and numbers.
async fn table(browser: &Browser, card: &str, name: &str) -> BTreeMap<String, u64> {
    const READ: &str = "return Object.fromEntries([...document.querySelectorAll(\
        `#${arguments[0]} [data-table=${arguments[1]}] tbody tr`)].map(row => \
        [row.cells[0].textContent, Number(row.cells[1].textContent.replaceAll(',', ''))]))";
    let found = browser.run(READ, &[card, name]).await.unwrap();
    serde_json::from_value(found).unwrap()
}

/// What the chart itself was given.
async fn drawn(browser: &Browser, card: &str, name: &str) -> Vec<u64> {
    const READ: &str = "return Chart.getChart(document.querySelector(\
        `#${arguments[0]} [data-chart=${arguments[1]}]`)).data.datasets[0].data";
    let found = browser.run(READ, &[card, name]).await.unwrap();
    serde_json::from_value(found).unwrap()
}

async fn wait_for_state(browser: &Browser, source: &str, state: &str) {
    const REACHED: &str = "return document.querySelector(`#live-${arguments[0]} .state`).dataset.state === arguments[1]";
    browser.wait_for(REACHED, &[source, state]).await.unwrap();
}

async fn wait_for_total(browser: &Browser, card: &str, total: usize) {
    const REACHED: &str =
        "return document.querySelector(`#${arguments[0]} .count`).textContent === arguments[1]";
    let total = total.to_string();
    browser.wait_for(REACHED, &[card, &total]).await.unwrap();
}

async fn keep_pictures(browser: &Browser, what: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    for (width, height) in [(1440, 1000), (360, 740)] {
        for scheme in ["light", "dark"] {
            browser.shape(width, height, scheme).await.unwrap();
            let fits = "return document.documentElement.scrollWidth <= innerWidth";
            browser.wait_for(fits, &[]).await.unwrap();
            let picture = browser.screenshot().await.unwrap();
            let name = format!("ecommerce-{what}-{width}-{scheme}.png");
            std::fs::write(folder.join(name), picture).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_charts_show_what_was_sent_and_come_back_after_a_restart() {
    let gate = Arc::new(Gate::default());
    let (services, api) = ([free().await, free().await], listener().await);
    let api_address = api.local_addr().unwrap();
    let ending = CancellationToken::new();
    let token = ending.clone();
    tokio::spawn(async move { ecommerce::simulated_third_party(api, 1, 0.0, &token).await });
    let running = Services::start(services, api_address, &gate).await;
    let database = Postgres::shared().await.unwrap();
    let database = database.create_database().await.unwrap();
    create_tables(&database.connect().await.unwrap()).await;
    let (address, closing) = page(services, database.url().to_owned()).await;
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://{address}/")).await.unwrap();

    // Each event stands in one step of 2 s once that step is over, and 15 steps later in none.
    const IN_STEPS: &str = "return Chart.getChart(document.querySelector(`#${arguments[0]} [data-chart=volume]`))\
        .data.datasets[0].data.reduce((a, b) => a + b) === Number(arguments[1])";
    let shown = SHOWN.to_string();
    for source in SOURCES {
        let card = format!("live-{source}");
        browser.wait_for(IN_STEPS, &[&card, &shown]).await.unwrap();
        assert_eq!(drawn(&browser, &card, "volume").await.len(), 15);
    }
    for source in SOURCES {
        let card = format!("live-{source}");
        wait_for_total(&browser, &card, SHOWN).await;
        for (name, field) in [("status", "status"), ("payment", "payment_method")] {
            let sent = gate.counts(source, field);
            assert_eq!(table(&browser, &card, name).await, sent, "{source}");
            let sum: u64 = drawn(&browser, &card, name).await.iter().sum();
            assert_eq!(sum, SHOWN as u64, "{source}");
        }
    }
    keep_pictures(&browser, "live").await;
    wait_for_state(&browser, "generator", "slow").await;

    let click = "document.querySelector('#live-generator .reset').click()";
    browser.run(click, &[]).await.unwrap();
    wait_for_total(&browser, "live-generator", 0).await;
    assert_eq!(
        table(&browser, "live-generator", "status").await,
        BTreeMap::new()
    );
    wait_for_total(&browser, "live-third_party", SHOWN).await;

    running.stop().await;
    wait_for_state(&browser, "generator", "broken").await;
    wait_for_state(&browser, "third_party", "broken").await;
    gate.kept.lock().unwrap().clear();
    let running = Services::start(services, api_address, &gate).await;
    wait_for_total(&browser, "live-generator", SHOWN).await;
    wait_for_total(&browser, "live-third_party", 2 * SHOWN).await;
    assert_eq!(
        table(&browser, "live-generator", "status").await,
        gate.counts("generator", "status")
    );
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
    running.stop().await;
    closing.cancel();
    ending.cancel();
}

async fn create_tables(client: &tokio_postgres::Client) {
    client
        .batch_execute(
            "create schema ecommerce;
             create table ecommerce.agg_status_by_minute
                 (minute timestamptz, source text, status text, order_count bigint, customer_count bigint);
             create table ecommerce.agg_payment_method
                 (minute timestamptz, source text, payment_method text, order_count bigint, cancelled_count bigint);",
        )
        .await
        .unwrap();
}

/// Orders a minute ago, two hours ago, and three days ago, of one source.
async fn fill(client: &tokio_postgres::Client) {
    client
        .batch_execute(
            "insert into ecommerce.agg_status_by_minute
             select date_trunc('minute', now() - ago), source, status, orders, 1
             from (values (interval '2 minutes', 'generator', 'Shipped', 5), ('2 minutes', 'generator', 'Cancelled', 1),
                          ('2 hours', 'generator', 'Shipped', 70), ('3 days', 'generator', null, 900),
                          ('3 days', 'elsewhere', 'Shipped', 9000), ('90 days', 'generator', 'Shipped', 90000))
                  as kept (ago, source, status, orders);
             insert into ecommerce.agg_payment_method
             select minute, source, 'PayPal', sum(order_count), 0 from ecommerce.agg_status_by_minute group by 1, 2;",
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_is_shown_over_an_hour_a_day_and_a_month() {
    let services = [free().await, free().await];
    let database = Postgres::shared().await.unwrap();
    let database = database.create_database().await.unwrap();
    let client = database.connect().await.unwrap();
    let (address, closing) = page(services, database.url().to_owned()).await;
    let refused = get(address, "/api/history?range=hour").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("factmill stream ecommerce"), "{refused}");
    assert!(
        get(address, "/api/history?range=year")
            .await
            .starts_with("HTTP/1.1 400")
    );

    create_tables(&client).await;
    fill(&client).await;
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://{address}/")).await.unwrap();
    let of = |pairs: &[(&str, u64)]| {
        let owned = pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        owned.collect::<BTreeMap<_, _>>()
    };
    for (button, total, statuses) in [
        (None, 6, of(&[("Shipped", 5), ("Cancelled", 1)])),
        (Some("day"), 76, of(&[("Shipped", 75), ("Cancelled", 1)])),
        (
            Some("month"),
            976,
            of(&[("Shipped", 75), ("Cancelled", 1), ("Unknown", 900)]),
        ),
    ] {
        if let Some(range) = button {
            let focus = "document.querySelector(`[data-range=${arguments[0]}]`).focus()";
            browser.run(focus, &[range]).await.unwrap();
            browser.press("\u{e007}").await.unwrap();
        }
        wait_for_total(&browser, "history-generator", total).await;
        assert_eq!(
            table(&browser, "history-generator", "status").await,
            statuses
        );
        assert_eq!(
            table(&browser, "history-generator", "payment").await,
            of(&[("PayPal", total as u64)])
        );
        let volume: u64 = drawn(&browser, "history-generator", "volume")
            .await
            .iter()
            .sum();
        assert_eq!(volume, total as u64);
        wait_for_total(&browser, "history-third_party", 0).await;
    }
    let down = "document.querySelector('#history').scrollIntoView()";
    browser.run(down, &[]).await.unwrap();
    keep_pictures(&browser, "history").await;
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
    closing.cancel();
}

/// The whole answer to a request.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    text
}
