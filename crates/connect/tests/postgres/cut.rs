//! Connections that are lost at COMMIT: a proxy between client and server cuts them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use factmill_connect::sink::postgres::{Warehouse, WarehouseConfig};
use factmill_core::error::ErrorKind;
use factmill_core::source::{Classified, PositionStore};
use factmill_testkit::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Fixture, change, keyed, keyed_rows, partition, reader};

const NEVER: u8 = 0;
/// The server does not see the message.
const BEFORE_COMMIT: u8 = 1;
/// The server commits, and its answer is lost.
const AFTER_COMMIT: u8 = 2;

/// Passes bytes on, until a message of an epoch's commit comes by while a cut is armed.
struct Proxy {
    address: SocketAddr,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicU8::new(NEVER));
        let armed = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&armed)));
            }
        });
        Self { address, cut }
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, cut: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let message = &asked[..length];
                if message.windows(12).any(|part| part == b"commit_epoch") {
                    match cut.swap(NEVER, Ordering::SeqCst) {
                        BEFORE_COMMIT => return,
                        AFTER_COMMIT => {
                            server.write_all(message).await.unwrap();
                            // The answer to the message comes when it is committed.
                            assert!(server.read(&mut answered).await.unwrap() > 0);
                            return;
                        }
                        _ => {}
                    }
                }
                if server.write_all(message).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

/// A warehouse that is reached through the proxy.
async fn through(fixture: &Fixture) -> (Proxy, Warehouse) {
    let config: tokio_postgres::Config = fixture.database.url().parse().unwrap();
    let server = format!("127.0.0.1:{}", config.get_ports()[0]);
    let proxy = Proxy::start(server).await;
    let url = format!(
        "postgres://{}:{}@{}/{}?sslmode=disable",
        config.get_user().unwrap(),
        String::from_utf8_lossy(config.get_password().unwrap_or_default()),
        proxy.address,
        config.get_dbname().unwrap()
    );
    let warehouse = Warehouse::connect(WarehouseConfig::new(url)).await.unwrap();
    (proxy, warehouse)
}

#[tokio::test]
async fn a_lost_answer_is_found_committed() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let (proxy, warehouse) = through(&fixture).await;
    let mut epoch = fixture.epoch(&tables, &generations, 0, 10);
    epoch.changes = vec![change(0, keyed_rows(&[("a", "1", 1)]))];
    proxy.cut.store(AFTER_COMMIT, Ordering::SeqCst);
    let committed = warehouse.commit(&epoch).await.unwrap();
    assert_eq!(
        fixture
            .value("select max(epoch) from factmill.epochs")
            .await,
        committed.epoch.to_string()
    );
    assert_eq!(
        fixture.value("select count(*) from factmill.epochs").await,
        "1"
    );
    assert_eq!(
        fixture.value("select count(*) from banking.keyed").await,
        "1"
    );
    warehouse
        .commit(&fixture.epoch(&tables, &generations, 10, 20))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_message_is_found_not_committed() {
    let fixture = Fixture::new().await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let (proxy, warehouse) = through(&fixture).await;
    for (from, to) in [(0, 10), (10, 20)] {
        let mut epoch = fixture.epoch(&tables, &generations, from, to);
        epoch.changes = vec![change(0, keyed_rows(&[("a", "1", to as u8)]))];
        proxy.cut.store(BEFORE_COMMIT, Ordering::SeqCst);
        let error = warehouse.commit(&epoch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
        let before = from / 10;
        assert_eq!(
            fixture.value("select count(*) from factmill.epochs").await,
            before.to_string()
        );
        warehouse.commit(&epoch).await.unwrap();
    }
    assert_eq!(
        fixture
            .value("select position from factmill.positions")
            .await,
        "20"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_a_passing_failure() {
    let server = Postgres::start_durable().await.unwrap();
    if !server.restartable() {
        println!("skipped: the server is not ours to kill");
        return;
    }
    let fixture = Fixture::on(&server).await;
    let (tables, generations) = fixture.prepare(vec![keyed()]).await;
    let commit = async |from: i64| {
        let mut epoch = fixture.epoch(&tables, &generations, from, from + 10);
        let value = from.to_string();
        epoch.changes = vec![change(
            0,
            keyed_rows(&[("a", &value, from as u8), (&value, "new", 1)]),
        )];
        fixture.warehouse.commit(&epoch).await
    };
    commit(0).await.unwrap();
    server.kill().unwrap();
    for _ in 0..3 {
        let error = commit(10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
        let store = fixture.warehouse.positions_of(reader());
        let error = store.positions(&[partition("0")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "{error:?}");
    }
    server.restart().await.unwrap();
    commit(10).await.unwrap();
    commit(20).await.unwrap();
    assert_eq!(
        fixture
            .value("select value from banking.keyed where id = 'a'")
            .await,
        "20"
    );
    assert_eq!(
        fixture.value("select count(*) from factmill.epochs").await,
        "3"
    );
}
