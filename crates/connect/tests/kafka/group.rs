//! Several sources of one job: partitions change hands, rows do not come twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use factmill_core::source::Source;

use super::topic::Topic;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_changes_hands_only_after_the_pull_in_flight() {
    let topic = Topic::create("revoke", 4).await;
    topic.produce(4, 0, 400);
    let positions = Arc::new(MemoryPositions::default());
    let mut first = start(&topic, read(&topic.name), &positions).await;
    // the epoch in flight: taken, not committed
    let mut in_flight = vec![pull(&mut first).await];
    while in_flight
        .iter()
        .map(|pull| pull.pulled.records.len())
        .sum::<usize>()
        < 400
    {
        in_flight.push(pull(&mut first).await);
    }

    let mut second = start(&topic, read(&topic.name), &positions).await;
    let taker = {
        let positions = positions.clone();
        tokio::spawn(async move {
            let pull = pull(&mut second).await;
            positions.commit(&pull.intervals).unwrap();
            (rows(&pull), second)
        })
    };
    until("the first source gives partitions away", async || {
        first.lag().len() < 4
    })
    .await;
    assert!(!taker.is_finished());
    for pull in in_flight {
        positions.commit(&pull.intervals).unwrap();
    }
    topic.produce(4, 400, 400);
    let (seen, _second) = taker.await.unwrap();
    assert!(!seen.is_empty());
    assert!(
        seen.iter().all(|(_, offset, _)| *offset >= 100),
        "the second begins behind the epoch that was in flight: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_join_and_leave_and_every_row_comes_once() {
    let topic = Arc::new(Topic::create("join", 8).await);
    let rows_sent = 40_000;
    let positions = Arc::new(MemoryPositions::default());
    let small = || KafkaRead {
        max_rows: 50,
        ..read(&topic.name)
    };
    let sender = {
        let topic = topic.clone();
        tokio::task::spawn_blocking(move || {
            for first in (0..rows_sent).step_by(1_000) {
                topic.produce(8, first, 1_000);
            }
        })
    };
    let mut stayer = start(&topic, small(), &positions).await;
    let mut seen = commit_rows(&mut stayer, &positions, 2_000).await;
    for _ in 0..3 {
        let mut guest = start(&topic, small(), &positions).await;
        let visit = async {
            let rows = commit_rows(&mut guest, &positions, 1_000).await;
            drop(guest);
            rows
        };
        // the stayer goes on reading, as a process of its own would
        tokio::pin!(visit);
        loop {
            tokio::select! {
                rows = &mut visit => {
                    seen.extend(rows);
                    break;
                }
                pull = pull(&mut stayer) => {
                    positions.commit(&pull.intervals).unwrap();
                    seen.extend(rows(&pull));
                }
            }
        }
    }
    sender.await.unwrap();
    let left = rows_sent - seen.len();
    seen.extend(commit_rows(&mut stayer, &positions, left).await);
    assert_eq!(seen.len(), rows_sent);
    let payloads: BTreeSet<_> = seen.into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(
        payloads.len(),
        rows_sent,
        "the positions let no row through twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_dropped_leaves_its_group_at_once() {
    let topic = Topic::create("leave", 2).await;
    topic.produce(2, 0, 10);
    let positions = Arc::new(MemoryPositions::default());
    let mut first = start(&topic, read(&topic.name), &positions).await;
    let held = pull(&mut first).await;
    let began = std::time::Instant::now();
    drop(first);
    let mut second = start(&topic, read(&topic.name), &positions).await;
    pull(&mut second).await;
    // far less than the session time-out of 45 seconds
    assert!(
        began.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_paused_when_it_was_lost_is_read_on_when_it_comes_back() {
    let topic = Topic::create("paused", 4).await;
    topic.produce(4, 0, 4_000);
    let positions = Arc::new(MemoryPositions::default());
    let small = || KafkaRead {
        max_rows: 50,
        ..read(&topic.name)
    };
    let mut first = start(&topic, small(), &positions).await;
    let mut seen = commit_rows(&mut first, &positions, 100).await;
    // a full buffer that nobody takes pauses the partitions after half a second
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let second = start(&topic, small(), &positions).await;
    until("the first source gives partitions away", async || {
        first.lag().len() < 4
    })
    .await;
    // one that joins and is not done with it would leave only when its session expires
    until("the second source has them", async || {
        !second.lag().is_empty()
    })
    .await;
    drop(second);
    let left = 4_000 - seen.len();
    seen.extend(commit_rows(&mut first, &positions, left).await);
    let payloads: BTreeSet<_> = seen.into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(payloads.len(), 4_000);
}
