//! The promises of the buffer, without Kafka.
#![allow(clippy::unwrap_used, reason = "a test ends at its first failure")]

use super::*;

fn buffer(bounded: bool) -> Buffer {
    Buffer::new(
        SourceName::new("banking", "transactions"),
        bounded,
        4,
        1_000,
    )
}

fn opening(number: i32, stored: Option<i64>, start: i64, end: i64) -> Opening {
    Opening {
        number,
        incarnation: Incarnation {
            ordinal: 1,
            identity: "c/t".into(),
        },
        stored,
        start,
        end,
    }
}

fn offer(buffer: &mut Buffer, number: i32, offset: i64) -> Offered {
    buffer.offer(Offer {
        number,
        offset,
        timestamp: Some(offset * 1_000),
        key: None,
        payload: Some(format!("{number}:{offset}").as_bytes()),
        headers: [(&b"h"[..], Some(&b"v"[..]))],
    })
}

/// `(partition, from, to)` of each interval.
fn intervals(taken: &Taken) -> Vec<(String, Option<i64>, i64)> {
    taken
        .intervals
        .iter()
        .map(|interval| {
            let from = interval.from().and_then(Cursor::offset);
            let to = interval.to().offset().unwrap();
            (interval.partition().partition.clone(), from, to)
        })
        .collect()
}

fn payloads(taken: &Taken) -> Vec<String> {
    let payloads = &taken.records.payloads;
    (0..payloads.len())
        .map(|at| String::from_utf8(payloads.get(at).unwrap().to_vec()).unwrap())
        .collect()
}

#[test]
fn intervals_join_up_over_holes_in_the_log() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, Some(5), 5, 100)]);
    assert!(buffer.take().is_none(), "nothing moved yet");
    assert_eq!(offer(&mut buffer, 0, 7), Offered::Kept);
    assert_eq!(offer(&mut buffer, 0, 9), Offered::Kept);
    assert_eq!(
        intervals(&buffer.take().unwrap()),
        [("0".into(), Some(5), 10)]
    );
    assert_eq!(offer(&mut buffer, 0, 20), Offered::Kept);
    assert_eq!(
        intervals(&buffer.take().unwrap()),
        [("0".into(), Some(10), 21)]
    );
    assert!(buffer.take().is_none());
}

#[test]
fn a_first_position_is_told_without_a_row() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, None, 42, 42)]);
    buffer.assigned_elsewhere([opening(1, None, 17, 17), opening(0, None, 42, 42)]);
    let taken = buffer.take().unwrap();
    assert_eq!(
        intervals(&taken),
        [("0".into(), None, 42), ("1".into(), None, 17)]
    );
    assert_eq!(taken.covered, [0], "the other is not ours to wait for");
    assert!(taken.records.is_empty());
    assert!(buffer.take().is_none(), "it is told once");
}

#[test]
fn what_was_read_before_is_not_read_again() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, Some(5), 5, 100)]);
    assert_eq!(offer(&mut buffer, 0, 4), Offered::Stale);
    assert_eq!(offer(&mut buffer, 0, 5), Offered::Kept);
    assert_eq!(offer(&mut buffer, 0, 5), Offered::Stale);
    assert_eq!(offer(&mut buffer, 1, 5), Offered::Stale, "not assigned");
    assert_eq!(payloads(&buffer.take().unwrap()), ["0:5"]);
}

#[test]
fn a_revoked_partition_leaves_nothing_behind() {
    let mut buffer = buffer(false);
    buffer.assign([
        opening(0, Some(0), 0, 9),
        opening(1, Some(0), 0, 9),
        opening(2, Some(0), 0, 9),
    ]);
    for (number, offset) in [(0, 0), (1, 0), (2, 0), (1, 1)] {
        assert_eq!(offer(&mut buffer, number, offset), Offered::Kept);
    }
    buffer.revoke(&[0, 2]);
    assert_eq!(offer(&mut buffer, 0, 1), Offered::Stale);
    assert_eq!(offer(&mut buffer, 1, 2), Offered::Kept);
    let taken = buffer.take().unwrap();
    assert_eq!(payloads(&taken), ["1:0", "1:1", "1:2"]);
    assert_eq!(intervals(&taken), [("1".into(), Some(0), 3)]);
    assert_eq!(taken.partitions.len(), 1);
    assert_eq!(taken.records.partitions, [0, 0, 0]);
    assert_eq!(
        taken.records.headers.get(2).collect::<Vec<_>>(),
        [(&b"h"[..], Some(&b"v"[..]))]
    );

    offer(&mut buffer, 1, 3);
    buffer.revoke(&[1]);
    assert!(buffer.take().is_none());
}

#[test]
fn a_first_position_is_told_even_if_its_partition_is_revoked_before() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, None, 0, 9), opening(1, None, 7, 9)]);
    offer(&mut buffer, 1, 7);
    buffer.revoke(&[1]);
    let taken = buffer.take().unwrap();
    assert_eq!(
        intervals(&taken),
        [("0".into(), None, 0), ("1".into(), None, 7)]
    );
    assert_eq!(taken.covered, [0]);
    assert!(taken.records.is_empty());
}

#[test]
fn a_rewind_does_not_move_the_end_of_a_bounded_read() {
    let mut buffer = buffer(true);
    buffer.assign([opening(0, Some(0), 0, 3)]);
    buffer.clear();
    buffer.assign([opening(0, Some(0), 0, 9)]);
    assert_eq!(offer(&mut buffer, 0, 3), Offered::Beyond);
    assert!(buffer.all_done());
}

#[test]
fn a_partition_that_comes_back_begins_at_its_stored_position() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, Some(0), 0, 9)]);
    offer(&mut buffer, 0, 0);
    buffer.revoke(&[0]);
    buffer.assign([opening(0, Some(0), 0, 9)]);
    assert_eq!(offer(&mut buffer, 0, 0), Offered::Kept);
    assert_eq!(
        intervals(&buffer.take().unwrap()),
        [("0".into(), Some(0), 1)]
    );
}

#[test]
fn a_bounded_read_that_loses_everything_waits_for_its_next_assignment() {
    let mut buffer = buffer(true);
    buffer.assign([opening(0, Some(0), 0, 3)]);
    buffer.revoke(&[0]);
    assert!(
        !buffer.all_done(),
        "the session was lost with records unread"
    );
    buffer.assign([opening(0, Some(0), 0, 3)]);
    assert!(!buffer.all_done());
    buffer.revoke(&[0]);
    buffer.assign([]);
    assert!(buffer.all_done(), "another process reads it");
}

#[test]
fn a_bounded_read_ends_at_its_limit_whatever_comes_first() {
    let mut buffer = buffer(true);
    assert!(!buffer.all_done(), "nothing is assigned yet");
    // ends by a record behind the limit, by end of partition, by being empty
    buffer.assign([
        opening(0, Some(0), 0, 3),
        opening(1, Some(0), 0, 3),
        opening(2, None, 6, 6),
    ]);
    assert_eq!(buffer.open().collect::<Vec<_>>(), [0, 1]);
    offer(&mut buffer, 0, 1);
    assert_eq!(offer(&mut buffer, 0, 3), Offered::Beyond);
    offer(&mut buffer, 1, 0);
    buffer.reached_end(1);
    assert!(buffer.all_done());
    let taken = buffer.take().unwrap();
    assert_eq!(payloads(&taken), ["0:1", "1:0"]);
    assert_eq!(
        intervals(&taken),
        [
            ("0".into(), Some(0), 3),
            ("1".into(), Some(0), 3),
            ("2".into(), None, 6)
        ]
    );
}

#[test]
fn an_end_of_partition_moves_no_unbounded_read() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, Some(0), 0, 3)]);
    buffer.reached_end(0);
    assert!(buffer.take().is_none());
}

#[test]
fn rows_and_bytes_close_a_pull() {
    let mut by_rows = buffer(false);
    by_rows.assign([opening(0, Some(0), 0, 9)]);
    for offset in 0..4 {
        assert!(!by_rows.is_full());
        offer(&mut by_rows, 0, offset);
    }
    assert!(by_rows.is_full());

    let mut by_bytes = buffer(false);
    by_bytes.assign([opening(0, Some(0), 0, 9)]);
    by_bytes.offer(Offer {
        number: 0,
        offset: 0,
        timestamp: None,
        key: None,
        payload: Some(&[b'x'; 5_000]),
        headers: [],
    });
    assert!(by_bytes.is_full(), "one large record passes alone");
    assert_eq!(by_bytes.take().unwrap().records.len(), 1);
    assert!(!by_bytes.is_full());
}

#[test]
fn intervals_stand_in_the_order_that_locks_are_taken_in() {
    let mut buffer = buffer(false);
    buffer.assign([opening(2, None, 0, 0), opening(10, None, 0, 0)]);
    let order: Vec<_> = intervals(&buffer.take().unwrap())
        .into_iter()
        .map(|(partition, _, _)| partition)
        .collect();
    assert_eq!(order, ["10", "2"], "as text, like the partition ids");
}

#[test]
fn lag_counts_what_was_not_taken() {
    let mut buffer = buffer(false);
    buffer.assign([opening(0, Some(5), 5, 9)]);
    offer(&mut buffer, 0, 5);
    let lag = |buffer: &Buffer| buffer.lag().into_values().sum::<i64>();
    assert_eq!(lag(&buffer), 4, "buffered, but not taken");
    buffer.take();
    assert_eq!(lag(&buffer), 3);
    buffer.heard_of_end(0, 20);
    assert_eq!(lag(&buffer), 14);
}
