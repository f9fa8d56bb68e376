//! Collections that are polled.

use super::*;
use factmill_connect::sink::raw_store::RawStore;
use factmill_core::position::{Cursor, Incarnation, PartitionId};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source::Classified;
use mongodb::bson::{Bson, doc};

/// What Kafka gave: records of one partition in one incarnation from `start` on.
fn from_kafka(ordinal: i32, number: i32, start: i64, payloads: &[&str]) -> Pulled {
    let mut records = Records::default();
    for (offset, payload) in (start..).zip(payloads) {
        let payload = (!payload.is_empty()).then_some(payload.as_bytes());
        records.payloads.push(payload);
        records.keys.push(Some(b"FR76"));
        records.headers.push([("source", Some(&b"web"[..]))]);
        records.partitions.push(0);
        records.offsets.push(offset);
        records.timestamps.push(Some(1_700_000_000_123_000));
    }
    Pulled {
        topic: "bank_data".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: SourceName::new("banking", "transactions"),
                partition: number.to_string(),
            },
            number,
            incarnation: Incarnation {
                ordinal,
                identity: "cluster/topic".into(),
            },
        }],
        records,
    }
}

async fn raw_store(world: &World<'_>) -> RawStore {
    let namespace = world.collection.namespace();
    RawStore::connect(world.mongo.url(), &namespace.db, &namespace.coll)
        .await
        .unwrap()
}

fn raw_documents(unwrap: bool) -> Mode {
    Mode::Poll(poll(PollBy::RawDocuments {
        topic: "bank_data".into(),
        unwrap,
    }))
}

/// `(ordinal, partition, offset)` of every record.
fn places(pulls: &[Pull]) -> Vec<(i32, i32, i64)> {
    let of_pull = |pull: &Pull| {
        let records = &pull.pulled.records;
        let place = |at: usize| {
            let partition = &pull.pulled.partitions[records.partitions[at] as usize];
            (
                partition.incarnation.ordinal,
                partition.number,
                records.offsets[at],
            )
        };
        (0..records.len()).map(place).collect::<Vec<_>>()
    };
    pulls.iter().flat_map(of_pull).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_documents_come_as_kafka_had_them() {
    let world = World::new(Mongo::shared().await.unwrap(), "transactions").await;
    let store = raw_store(&world).await;
    let nine: Vec<String> = (0..9).map(|n| format!("{{\"n\":{n}}}")).collect();
    let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
    store.write(&from_kafka(1, 0, 5, &nine)).await.unwrap();
    store
        .write(&from_kafka(1, 2, 0, &["{broken", "", "{\"a\":\"12.50\"}"]))
        .await
        .unwrap();
    store
        .write(&from_kafka(2, 0, 0, &["{\"n\":0}"]))
        .await
        .unwrap();
    let other = Pulled {
        topic: "another".into(),
        ..from_kafka(1, 0, 0, &["{}"])
    };
    store.write(&other).await.unwrap();

    let bounded = || MongoRead {
        bounded: true,
        ..world.read(raw_documents(true))
    };
    let pulls = to_end(&world, &mut world.start(bounded()).await).await;
    let mut wanted: Vec<_> = (5..14).map(|offset| (1, 0, offset)).collect();
    wanted.extend([(1, 2, 0), (1, 2, 1), (1, 2, 2), (2, 0, 0)]);
    assert_eq!(places(&pulls), wanted);
    let records = &pulls[0].pulled.records;
    assert_eq!(document(records.payloads.get(0).unwrap()), doc! { "n": 0 });
    assert_eq!(records.payloads.get(9), Some(&b"{broken"[..]));
    assert_eq!(records.payloads.get(10), None, "a tombstone");
    assert_eq!(records.keys.get(0), Some(&b"FR76"[..]));
    assert_eq!(
        records.headers.get(0).collect::<Vec<_>>(),
        [(&b"source"[..], Some(&b"web"[..]))]
    );
    assert_eq!(records.timestamps[0], Some(1_700_000_000_123_000));
    let intervals: Vec<_> = pulls[0]
        .intervals
        .iter()
        .map(|interval| {
            (
                interval.partition().partition.as_str(),
                interval.to().clone(),
            )
        })
        .collect();
    assert_eq!(
        intervals,
        [
            ("0", Cursor::Offset(14)),
            ("0@2", Cursor::Offset(1)),
            ("2", Cursor::Offset(3))
        ]
    );

    // an unbounded read goes on behind them, and finds partitions that are new
    let mut source = world.start(world.read(raw_documents(false))).await;
    store
        .write(&from_kafka(1, 1, 7, &["{\"n\":1}"]))
        .await
        .unwrap();
    store
        .write(&from_kafka(1, 0, 14, &["{\"n\":2}", "{\"n\":3}"]))
        .await
        .unwrap();
    let mut pulls = Vec::new();
    while places(&pulls).len() < 3 {
        let pull = next(&mut source).await;
        world.positions.commit(&pull.intervals).unwrap();
        pulls.push(pull);
    }
    let mut found = places(&pulls);
    found.sort_unstable();
    assert_eq!(found, [(1, 0, 14), (1, 0, 15), (1, 1, 7)]);
    let whole = document(pulls[0].pulled.records.payloads.get(0).unwrap());
    assert!(whole.contains_key("document"), "{whole}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_come_in_the_order_of_their_field() {
    // a double quote is too hostile for FerretDB's own SQL
    let world = World::new(Mongo::shared().await.unwrap(), "orders 'é; drop").await;
    let order = |id: i32, n: i32| doc! { "_id": id, "n": n };
    // many of one value, so that a pull ends among them
    let orders: Vec<_> = (0..120).map(|id| order(id, id / 40)).collect();
    world.collection.insert_many(orders).await.unwrap();
    let mut source = world.start(world.read(by_field("n"))).await;
    assert!(source.cannot_see.as_deref().unwrap().contains("deletions"));
    let first = next(&mut source).await;
    assert_eq!(first.pulled.records.len(), 50);
    world.positions.commit(&first.intervals).unwrap();
    next(&mut source).await;
    drop(source);

    let mut source = world.start(world.read(by_field("n"))).await;
    let mut keys: Vec<_> = records(&first).into_iter().map(|(key, _)| key).collect();
    while keys.len() < 120 {
        let pull = next(&mut source).await;
        world.positions.commit(&pull.intervals).unwrap();
        keys.extend(records(&pull).into_iter().map(|(key, _)| key));
    }
    let wanted: Vec<String> = (0..120).map(|id| id.to_string()).collect();
    assert_eq!(keys, wanted, "each once");

    world.collection.insert_one(order(500, 7)).await.unwrap();
    let later = next(&mut source).await;
    assert_eq!(records(&later), [("500".to_owned(), Some(order(500, 7)))]);
    world.positions.commit(&later.intervals).unwrap();

    let bounded = MongoRead {
        bounded: true,
        ..world.read(by_field("n"))
    };
    assert!(
        to_end(&world, &mut world.start(bounded).await)
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projection_and_pipeline_are_done_by_the_server() {
    let mut world = World::new(Mongo::shared().await.unwrap(), "orders").await;
    let orders = (0..4)
        .map(|id| doc! { "_id": id, "city": if id % 2 == 0 { "Lyon" } else { "Nice" }, "x": 1 });
    world.collection.insert_many(orders).await.unwrap();
    let bounded = MongoRead {
        bounded: true,
        ..world.read(by_field("_id"))
    };
    let read = MongoRead {
        projection: Some(doc! { "city": 1 }),
        pipeline: vec![doc! { "$match": { "city": "Lyon" } }],
        ..bounded.clone()
    };
    let pulls = to_end(&world, &mut world.start(read).await).await;
    let lyon = |id: i32| (id.to_string(), Some(doc! { "_id": id, "city": "Lyon" }));
    assert_eq!(records(&pulls[0]), [lyon(0), lyon(2)]);

    world.positions = Arc::default();
    let wrong = MongoRead {
        pipeline: vec![doc! { "$noSuchStage": {} }],
        ..bounded.clone()
    };
    let error = failure(&mut world.start(wrong).await).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", told(&error));
    let without = MongoRead {
        projection: Some(doc! { "x": 1 }),
        mode: by_field("city"),
        ..bounded
    };
    let error = failure(&mut world.start(without).await).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", told(&error));
    assert!(told(&error).contains("`city`"), "{}", told(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_waited_for_and_nothing_is_lost() {
    let mongo = Mongo::start().await.unwrap();
    if !mongo.restartable() {
        eprintln!("skipped: the server is not ours to kill");
        return;
    }
    let world = World::new(&mongo, "orders").await;
    let orders: Vec<_> = (0..200).map(|id| doc! { "_id": id }).collect();
    world.collection.insert_many(orders).await.unwrap();
    let mut source = world.start(world.read(by_field("_id"))).await;
    let mut keys = Vec::new();
    let mut failures = 0;
    while keys.len() < 200 {
        match try_next(&mut source).await {
            Ok(pull) => {
                let pull = pull.expect("the read has not ended");
                world.positions.commit(&pull.intervals).unwrap();
                keys.extend(records(&pull).into_iter().map(|(key, _)| key));
                if keys.len() == 100 {
                    mongo.kill().unwrap();
                    source.source.rewind().await.unwrap();
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{}", told(&error));
                failures += 1;
                mongo.restart().await.unwrap();
                source.source.rewind().await.unwrap();
            }
        }
    }
    assert!(failures > 0);
    let wanted: Vec<String> = (0..200).map(|id| id.to_string()).collect();
    assert_eq!(keys, wanted, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_was_created_again_is_a_gap() {
    let world = World::new(Mongo::shared().await.unwrap(), "orders").await;
    world
        .collection
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();
    let mut source = world.start(world.read(by_field("_id"))).await;
    let pull = next(&mut source).await;
    world.positions.commit(&pull.intervals).unwrap();
    drop(source);
    world.collection.drop().await.unwrap();
    world
        .collection
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();
    let mut source = world.start(world.read(by_field("_id"))).await;
    assert_gap(&failure(&mut source).await, "created again");
}

/// A query compares within one type only: a second one would hide documents without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_type_in_the_field_of_polling_is_refused() {
    let order = |id: i32, n: Bson| doc! { "_id": id, "n": n };
    let refused = |error: BoxedError, says: [&str; 3]| {
        let told = told(&error);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{told}");
        for word in says {
            assert!(told.contains(word), "{word}: {told}");
        }
    };
    for mongo in [
        Mongo::shared().await.unwrap(),
        Mongo::shared_with_changes().await.unwrap(),
    ] {
        for (n, says) in [
            (
                Bson::from("oops"),
                ["document 7 of", "`string`", "`number`"],
            ),
            (Bson::from(true), ["document 7 of", "`bool`", "`number`"]),
        ] {
            let mut world = World::new(mongo, "orders").await;
            let orders = (0..3).map(|id| order(id, id.into()));
            world.collection.insert_many(orders).await.unwrap();
            // among the first that are read
            let other = order(7, n.clone());
            world.collection.insert_one(other.clone()).await.unwrap();
            for bounded in [false, true] {
                let read = MongoRead {
                    bounded,
                    ..world.read(by_field("n"))
                };
                refused(failure(&mut world.start(read).await).await, says);
            }
            let seven = doc! { "_id": 7 };
            world.collection.delete_one(seven).await.unwrap();
            // among those that come later
            world.positions = Arc::default();
            let mut source = world.start(world.read(by_field("n"))).await;
            let first = next(&mut source).await;
            world.positions.commit(&first.intervals).unwrap();
            world.collection.insert_one(other).await.unwrap();
            refused(failure(&mut source).await, says);
            drop(source);
            // and while nobody read
            let mut source = world.start(world.read(by_field("n"))).await;
            refused(failure(&mut source).await, says);
            drop(source);
            // a pipeline that leaves it out is the way to have both
            let piped = MongoRead {
                pipeline: vec![doc! { "$match": { "_id": { "$ne": 7 } } }],
                ..world.read(by_field("n"))
            };
            let mut source = world.start(piped).await;
            let late = order(8, 8.into());
            world.collection.insert_one(late.clone()).await.unwrap();
            let second = records(&next(&mut source).await);
            assert_eq!(second, [("8".to_owned(), Some(late))]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_every_type_are_polled_in_one_order_and_a_nan_is_refused() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let mut world = World::new(mongo, "orders").await;
    world.max_rows = 1;
    let numbers: [Bson; 4] = [
        1.into(),
        2_i64.into(),
        2.5.into(),
        Bson::Decimal128("3.5".parse().unwrap()),
    ];
    let orders = (0..).zip(numbers);
    let orders = orders.map(|(id, n): (i32, Bson)| doc! { "_id": id, "n": n });
    world.collection.insert_many(orders).await.unwrap();
    let mut keys = Vec::new();
    for _ in 0..4 {
        // from the stored place each time
        let mut source = world.start(world.read(by_field("n"))).await;
        let pull = next(&mut source).await;
        world.positions.commit(&pull.intervals).unwrap();
        keys.extend(records(&pull).into_iter().map(|(key, _)| key));
    }
    assert_eq!(keys, ["0", "1", "2", "3"]);

    let world = World::new(mongo, "orders").await;
    let lone = doc! { "_id": 7, "n": f64::NAN };
    world.collection.insert_one(lone).await.unwrap();
    let error = failure(&mut world.start(world.read(by_field("n"))).await).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", told(&error));
    assert!(told(&error).contains("document 7 of"), "{}", told(&error));
    assert!(told(&error).contains("NaN in `n`"), "{}", told(&error));
}

/// A collection that is gone answers like one that has nothing new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polled_collection_that_is_dropped_is_a_gap() {
    for (mongo, has_uuids) in [
        (Mongo::shared().await.unwrap(), true),
        (Mongo::shared_with_changes().await.unwrap(), false),
    ] {
        for mode in [by_field("_id"), raw_documents(true)] {
            let world = World::new(mongo, "transactions").await;
            let store = raw_store(&world).await;
            store.write(&from_kafka(1, 0, 0, &["{}"])).await.unwrap();
            let mut source = world.start(world.read(mode.clone())).await;
            let pull = next(&mut source).await;
            world.positions.commit(&pull.intervals).unwrap();
            world.collection.drop().await.unwrap();
            assert_gap(&failure(&mut source).await, "was dropped");
            drop(source);
            // nor is it waited for after a restart
            for bounded in [false, true] {
                let read = MongoRead {
                    bounded,
                    ..world.read(mode.clone())
                };
                let mut source = world.start(read).await;
                assert_gap(&failure(&mut source).await, "does not exist any more");
            }
            if !has_uuids {
                continue;
            }
            let world = World::new(mongo, "transactions").await;
            let store = raw_store(&world).await;
            store.write(&from_kafka(1, 0, 5, &["{}"])).await.unwrap();
            let mut source = world.start(world.read(mode)).await;
            let pull = next(&mut source).await;
            world.positions.commit(&pull.intervals).unwrap();
            world.collection.drop().await.unwrap();
            let store = raw_store(&world).await;
            store.write(&from_kafka(1, 0, 0, &["{}"])).await.unwrap();
            assert_gap(&failure(&mut source).await, "created again");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_change_streams_a_source_is_polled_where_it_says_so() {
    let mongo = Mongo::shared().await.unwrap();
    if !mongo.is_stand_in() {
        eprintln!("skipped: the server has change streams");
        return;
    }
    let world = World::new(mongo, "orders").await;
    world
        .collection
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();
    let error = world
        .try_start(world.read(Mode::Changes))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("no change streams"), "{error}");
    let either = Mode::ChangesOrPoll(poll(PollBy::Field("_id".into())));
    let mut source = world.start(world.read(either)).await;
    assert!(source.cannot_see.is_some());
    assert_eq!(next(&mut source).await.pulled.records.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_without_the_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let url = format!("mongodb://me:hunter2@{address}/?serverSelectionTimeoutMS=300");
    let world = World::new(Mongo::shared().await.unwrap(), "orders").await;
    let single = SingleRead {
        source: SourceName::new("shop", "orders"),
        topic: "orders".into(),
        reader: Reader {
            target: "test".into(),
            job: "shop".into(),
        },
        max_rows: 1,
        max_bytes: 1,
        max_wait: Duration::ZERO,
    };
    let read = world.read(by_field("_id"));
    let error = mongo::start(&url, read, single, world.positions.clone());
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_stream_tells_of_new_raw_documents_and_their_order_stays_that_of_kafka() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "transactions").await;
    let store = raw_store(&world).await;
    let by = PollBy::RawDocuments {
        topic: "bank_data".into(),
        unwrap: true,
    };
    // nobody looks again by himself while this test lasts
    let never = Poll {
        by,
        every: Duration::from_secs(24 * 3_600),
    };
    store.write(&from_kafka(1, 0, 0, &["{}"])).await.unwrap();
    let mut source = world.start(world.read(Mode::Poll(never))).await;
    for offset in 0..4 {
        let pull = next(&mut source).await;
        assert_eq!(places(std::slice::from_ref(&pull)), [(1, 0, offset)]);
        world.positions.commit(&pull.intervals).unwrap();
        let following = from_kafka(1, 0, offset + 1, &["{}"]);
        store.write(&following).await.unwrap();
    }
}
