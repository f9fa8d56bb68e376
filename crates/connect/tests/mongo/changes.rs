//! A snapshot and the changes behind it.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use factmill_core::position::Cursor;
use factmill_core::source::Classified;
use mongodb::bson::{Bson, doc};

fn orders(range: std::ops::Range<i32>) -> Vec<Document> {
    range
        .map(|id| doc! { "_id": id, "city": "Lyon", "version": 0 })
        .collect()
}

/// Inserts, updates, replaces and deletes, one after the other.
async fn change(collection: Collection<Document>, steps: std::ops::Range<i32>) {
    for step in steps {
        let id = doc! { "_id": step * 7 % 600 };
        match step % 5 {
            0 => {
                let new = doc! { "_id": 10_000 + step, "city": "Nice", "version": step };
                collection.insert_one(new).await.unwrap();
            }
            1 => {
                collection.delete_one(id).await.unwrap();
            }
            2 => {
                let whole = doc! { "city": "Brest", "version": step };
                collection.replace_one(id, whole).await.unwrap();
            }
            _ => {
                let set = doc! { "$set": { "version": step } };
                collection.update_one(id, set).await.unwrap();
            }
        }
    }
}

/// How many ranges of the snapshot a pull says are left.
fn ranges_left(pull: &Pull) -> usize {
    let Cursor::Token(token) = pull.intervals[0].to() else {
        panic!("a change stream has tokens");
    };
    let token: serde_json::Value = serde_json::from_str(token).unwrap();
    let place = STANDARD_NO_PAD.decode(token["at"].as_str().unwrap());
    document(&place.unwrap()).get_array("ranges").unwrap().len()
}

/// Reads and commits until the records, applied by key, make what the collection holds.
async fn follow(world: &World<'_>, source: &mut MongoSource, state: &mut State, offset: &mut i64) {
    let held = world.held().await;
    while *state != held {
        let pull = next(source).await;
        for &next in &pull.pulled.records.offsets {
            assert_eq!(next, *offset, "offsets have no gap");
            *offset += 1;
        }
        world.positions.commit(&pull.intervals).unwrap();
        apply(state, &pull);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_under_changes_ends_equal_to_the_collection() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..600)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    assert_eq!(source.cannot_see, None);
    let changes = tokio::spawn(change(world.collection.clone(), 0..300));
    let (mut state, mut offset) = (State::new(), 0);
    for _ in 0..5 {
        let pull = next(&mut source).await;
        world.positions.commit(&pull.intervals).unwrap();
        offset += pull.pulled.records.len() as i64;
        apply(&mut state, &pull);
    }
    changes.await.unwrap();
    follow(&world, &mut source, &mut state, &mut offset).await;
    // and the changes after it
    change(world.collection.clone(), 300..400).await;
    follow(&world, &mut source, &mut state, &mut offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_snapshot_reads_nothing_of_it_again() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..500)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    let mut state = State::new();
    for _ in 0..4 {
        let pull = next(&mut source).await;
        world.positions.commit(&pull.intervals).unwrap();
        apply(&mut state, &pull);
    }
    let mut offset = state.len() as i64;
    assert_eq!(offset, 200, "four pulls of the snapshot");
    // read, but not committed
    next(&mut source).await;
    drop(source);
    change(world.collection.clone(), 0..100).await;

    let mut source = world.start(world.read(Mode::Changes)).await;
    let first = next(&mut source).await;
    for (key, _) in records(&first) {
        assert!(!state.contains_key(&key), "{key} was committed before");
    }
    assert_eq!(first.pulled.records.offsets[0], offset);
    world.positions.commit(&first.intervals).unwrap();
    offset += first.pulled.records.len() as i64;
    apply(&mut state, &first);
    follow(&world, &mut source, &mut state, &mut offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_collection_is_read_in_ranges_that_go_on_where_they_were() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let mut world = World::new(mongo, "orders").await;
    world.max_rows = 3_000;
    for start in 0..6 {
        let part = orders(start * 5_000..(start + 1) * 5_000);
        world.collection.insert_many(part).await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut source = world.start(world.read(Mode::Changes)).await;
    let mut pulls = 0;
    while seen.len() < 30_000 {
        let pull = next(&mut source).await;
        world.positions.commit(&pull.intervals).unwrap();
        if pulls == 0 {
            assert!(ranges_left(&pull) > 1, "it is worth several ranges");
        }
        for (key, _) in records(&pull) {
            // behind the snapshot the events of its last second may follow
            assert!(
                seen.insert(key) || seen.len() == 30_000,
                "a document came twice"
            );
        }
        pulls += 1;
        if pulls == 4 {
            source = world.start(world.read(Mode::Changes)).await;
        }
    }
    assert_eq!(seen.len(), 30_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_many_types_are_all_read() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    let ids: [Bson; 6] = [
        1.into(),
        2.5.into(),
        "text".into(),
        mongodb::bson::oid::ObjectId::from_bytes([7; 12]).into(),
        true.into(),
        mongodb::bson::DateTime::from_millis(5).into(),
    ];
    let documents = ids.map(|id| doc! { "_id": id });
    world.collection.insert_many(documents).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    follow(&world, &mut source, &mut State::new(), &mut 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_read_ends_and_the_next_one_goes_on() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "we\"ird 'é; drop").await;
    world.collection.insert_many(orders(0..120)).await.unwrap();
    let bounded = || MongoRead {
        bounded: true,
        ..world.read(Mode::Changes)
    };
    let mut state = State::new();
    let pulls = to_end(&world, &mut world.start(bounded()).await).await;
    pulls.iter().for_each(|pull| apply(&mut state, pull));
    assert_eq!(state, world.held().await);

    change(world.collection.clone(), 0..20).await;
    let pulls = to_end(&world, &mut world.start(bounded()).await).await;
    pulls.iter().for_each(|pull| apply(&mut state, pull));
    assert_eq!(state, world.held().await);
    let again: usize = pulls.iter().map(|pull| pull.pulled.records.len()).sum();
    assert!(again < 120, "only changes, not the snapshot: {again}");

    let pulls = to_end(&world, &mut world.start(bounded()).await).await;
    let rest: usize = pulls.iter().map(|pull| pull.pulled.records.len()).sum();
    assert_eq!(rest, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_begins_again_at_the_stored_position() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..100)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    let first = next(&mut source).await;
    world.positions.commit(&first.intervals).unwrap();
    let lost = next(&mut source).await;
    source.source.rewind().await.unwrap();
    let again = next(&mut source).await;
    assert_eq!(records(&again), records(&lost));
    assert_eq!(again.intervals[0].from(), Some(first.intervals[0].to()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_server_is_a_gap() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let mut world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..10)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    let pull = next(&mut source).await;
    world.positions.commit(&pull.intervals).unwrap();
    drop(source);

    let other = Mongo::start_with_changes().await.unwrap();
    let namespace = world.collection.namespace();
    let client = other.connect().await.unwrap();
    world.collection = client.database(&namespace.db).collection(&namespace.coll);
    world.collection.insert_many(orders(0..10)).await.unwrap();
    world.url = other.url().to_owned();
    let mut source = world.start(world.read(Mode::Changes)).await;
    assert_gap(&failure(&mut source).await, "this is another server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_collection_is_a_gap() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..10)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    follow(&world, &mut source, &mut State::new(), &mut 0).await;
    world.collection.drop().await.unwrap();
    assert_gap(&failure(&mut source).await, "was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_comes_later_is_waited_for_unless_the_read_is_bounded() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    let bounded = MongoRead {
        bounded: true,
        ..world.read(Mode::Changes)
    };
    let error = failure(&mut world.start(bounded).await).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{}", told(&error));
    assert!(told(&error).contains("does not exist"), "{}", told(&error));

    let mut source = world.start(world.read(Mode::Changes)).await;
    world.collection.insert_many(orders(0..3)).await.unwrap();
    follow(&world, &mut source, &mut State::new(), &mut 0).await;
}

/// A failure to sample is none of a server that cannot: it must not make one range of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_server_that_cannot_sample_is_read_in_one_range() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let mut world = World::new(mongo, "orders").await;
    for start in 0..5 {
        let part = orders(start * 5_000..(start + 1) * 5_000);
        world.collection.insert_many(part).await.unwrap();
    }
    let is_sample = |command: &Document| {
        let stages = command.get_array("pipeline");
        let stage = stages.ok().and_then(|stages| stages.first()?.as_document());
        stage.is_some_and(|stage| stage.contains_key("$sample"))
    };
    let proxy = factmill_testkit::MongoProxy::before(mongo).await.unwrap();
    world.url = proxy.url().to_owned();
    proxy.refuse(is_sample, 40_324, "Location40324", "Unrecognized stage");
    let mut source = world.start(world.read(Mode::Changes)).await;
    assert_eq!(ranges_left(&next(&mut source).await), 1);
    drop(source);

    let proxy = factmill_testkit::MongoProxy::before(mongo).await.unwrap();
    world.url = proxy.url().to_owned();
    proxy.refuse(is_sample, 292, "QueryExceededMemoryLimit", "too much");
    let mut source = world.start(world.read(Mode::Changes)).await;
    let error = failure(&mut source).await;
    assert!(told(&error).contains("too much"), "{}", told(&error));
}

/// Whether it comes by the snapshot or by an event, a document has the same fields.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_sends_the_same_of_a_document_and_of_its_changes() {
    type Sent = fn(i32) -> Document;
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let order =
        |id: i32| doc! { "_id": id, "city": "Lyon", "photo": 7, "meta": { "a": 1, "b": 2 } };
    let part = |id: i32| doc! { "_id": id, "city": "Lyon", "meta": { "a": 1 } };
    let cases: [(Document, Sent); 6] = [
        (doc! { "_id": 0 }, order),
        (doc! {}, order),
        (doc! { "_id": 1 }, |id| doc! { "_id": id }),
        (doc! { "city": 1, "_id": 0, "meta.a": true }, part),
        (doc! { "city": 1, "meta": { "a": 1 } }, part),
        (doc! { "photo": 0, "meta": { "a": false } }, |id| {
            doc! { "_id": id, "city": "Lyon", "meta": { "b": 2 } }
        }),
    ];
    for (projection, wanted) in cases {
        let world = World::new(mongo, "orders").await;
        world.collection.insert_one(order(1)).await.unwrap();
        let read = MongoRead {
            projection: Some(projection.clone()),
            ..world.read(Mode::Changes)
        };
        let mut source = world.start(read).await;
        let first = records(&next(&mut source).await);
        assert_eq!(first, [("1".to_owned(), Some(wanted(1)))], "{projection}");
        world.collection.insert_one(order(2)).await.unwrap();
        for photo in [8, 7] {
            let set = doc! { "$set": { "photo": photo } };
            let one = world.collection.update_one(doc! { "_id": 1 }, set);
            one.await.unwrap();
        }
        world
            .collection
            .delete_one(doc! { "_id": 2 })
            .await
            .unwrap();
        world.collection.insert_one(order(3)).await.unwrap();
        let mut state = State::new();
        let wanted = State::from([1, 3].map(|id| (id.to_string(), wanted(id))));
        // an event of the snapshot's time may come first
        while state != wanted {
            apply(&mut state, &next(&mut source).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_that_computes_is_refused() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    let computed = MongoRead {
        projection: Some(doc! { "total": { "$add": ["$a", "$b"] } }),
        ..world.read(Mode::Changes)
    };
    let error = world.try_start(computed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("compute in a model"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_is_done_by_the_server_and_a_pipeline_refused() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..3)).await.unwrap();
    let projected = MongoRead {
        projection: Some(doc! { "city": 1, "_id": 0 }),
        ..world.read(Mode::Changes)
    };
    let mut source = world.start(projected).await;
    let wanted = |id: i32| (id.to_string(), Some(doc! { "_id": id, "city": "Lyon" }));
    assert_eq!(
        records(&next(&mut source).await),
        [wanted(0), wanted(1), wanted(2)]
    );

    let piped = MongoRead {
        pipeline: vec![doc! { "$match": { "city": "Lyon" } }],
        ..world.read(Mode::Changes)
    };
    let error = world.try_start(piped).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

/// The stand-in forgets no token, so a proxy answers as a MongoDB 8 does whose log of changes has
/// moved past it: at the start with 286, in the middle of a stream with 280.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_server_has_forgotten_is_a_gap() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let proxy = factmill_testkit::MongoProxy::before(mongo).await.unwrap();
    let mut world = World::new(mongo, "orders").await;
    world.url = proxy.url().to_owned();
    world.collection.insert_many(orders(0..10)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    follow(&world, &mut source, &mut State::new(), &mut 0).await;
    let broken = "PlanExecutor error during aggregation :: caused by :: cannot resume stream";
    let in_stream = |command: &Document| command.contains_key("getMore");
    proxy.refuse(in_stream, 280, "ChangeStreamFatalError", broken);
    assert_gap(&failure(&mut source).await, broken);
    drop(source);

    let lost = "Resume of change stream was not possible, as the resume point may no longer be in the oplog.";
    let at_start = |command: &Document| {
        let stages = command.get_array("pipeline");
        let stage = stages.ok().and_then(|stages| stages.first()?.as_document());
        let stage = stage.and_then(|stage| stage.get_document("$changeStream").ok());
        stage.is_some_and(|stage| {
            stage.contains_key("resumeAfter") || stage.contains_key("startAtOperationTime")
        })
    };
    proxy.refuse(at_start, 286, "ChangeStreamHistoryLost", lost);
    let mut source = world.start(world.read(Mode::Changes)).await;
    assert_gap(&failure(&mut source).await, lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_was_dropped_while_nobody_read_is_a_gap() {
    let mongo = Mongo::shared_with_changes().await.unwrap();
    let world = World::new(mongo, "orders").await;
    world.collection.insert_many(orders(0..10)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    follow(&world, &mut source, &mut State::new(), &mut 0).await;
    drop(source);
    world.collection.drop().await.unwrap();
    for bounded in [false, true] {
        let read = MongoRead {
            bounded,
            ..world.read(Mode::Changes)
        };
        let mut source = world.start(read).await;
        assert_gap(&failure(&mut source).await, "does not exist any more");
    }
}

/// The server is killed in the middle of the snapshot and again among its changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_loses_and_doubles_nothing() {
    let mongo = Mongo::start_with_durable_changes().await.unwrap();
    let mut world = World::new(&mongo, "orders").await;
    world.url = format!("{}&serverSelectionTimeoutMS=2000", mongo.url());
    world.collection.insert_many(orders(0..600)).await.unwrap();
    let mut source = world.start(world.read(Mode::Changes)).await;
    let (mut state, mut offset) = (State::new(), 0);
    for kill in 0..2 {
        for _ in 0..2 {
            let pull = next(&mut source).await;
            for &next in &pull.pulled.records.offsets {
                assert_eq!(next, offset, "offsets have no gap");
                offset += 1;
            }
            world.positions.commit(&pull.intervals).unwrap();
            apply(&mut state, &pull);
        }
        change(world.collection.clone(), kill * 100..kill * 100 + 100).await;
        mongo.kill().unwrap();
        let lost = failure(&mut source).await;
        assert_eq!(lost.kind(), ErrorKind::Transient, "{}", told(&lost));
        mongo.restart().await.unwrap();
        // connections of before are dead, and a stand-in's writes are not tried again
        let namespace = world.collection.namespace();
        let client = mongo.connect().await.unwrap();
        world.collection = client.database(&namespace.db).collection(&namespace.coll);
        source.source.rewind().await.unwrap();
    }
    follow(&world, &mut source, &mut state, &mut offset).await;
}
