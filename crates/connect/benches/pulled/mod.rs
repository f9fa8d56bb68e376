//! Records as a source hands them over.

use factmill_core::position::{Incarnation, PartitionId, SourceName};
use factmill_core::records::{Pulled, PulledPartition, Records};

/// Records of the one partition of a topic.
pub(crate) fn pulled(source: &SourceName, topic: &str, records: Records) -> Pulled {
    Pulled {
        topic: topic.to_owned(),
        partitions: vec![PulledPartition {
            id: PartitionId {
                source: source.clone(),
                partition: "0".to_owned(),
            },
            number: 0,
            incarnation: Incarnation {
                ordinal: 1,
                identity: "bench".to_owned(),
            },
        }],
        records,
    }
}
