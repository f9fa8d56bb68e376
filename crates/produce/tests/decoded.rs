//! Payloads of a producer, decoded by the contract that the project declares.

use std::path::Path;

use factmill_connect::decode::{Decoded, decoder};
use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};
use factmill_core::source_schema::Format;
use factmill_produce::Event;
use factmill_project::{LoadOptions, Project};

/// The events as records of one partition, the offset of each its place.
pub(crate) fn decoded(source: &SourceName, events: &[Event]) -> Decoded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let project = Project::load(&root, &LoadOptions::default()).unwrap();
    let schema = project.source(source).unwrap().schema.clone();
    let mut records = Records::default();
    for (offset, event) in (0..).zip(events) {
        records.payloads.push(event.payload());
        records.keys.push(event.key());
        records.headers.push([]);
        records.partitions.push(0);
        records.offsets.push(offset);
        records
            .timestamps
            .push(Some(1_700_000_000_000_000 + offset));
    }
    let pulled = Pulled {
        topic: "t".into(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: source.clone(),
                partition: "0".into(),
            },
            number: 0,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "test".into(),
            },
        }],
        records,
    };
    decoder(Format::Json, &schema)
        .unwrap()
        .decode(source, &pulled)
}

/// The offsets of the dead letters, in their order.
pub(crate) fn refused(decoded: &Decoded) -> Vec<usize> {
    let mut offsets: Vec<usize> = decoded
        .dead_letters
        .iter()
        .map(|letter| usize::try_from(letter.offset).unwrap())
        .collect();
    offsets.sort_unstable();
    offsets
}
