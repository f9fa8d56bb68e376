//! The few figures that are read out of librdkafka's statistics.

use std::collections::HashMap;

use serde::Deserialize;

/// What the statistics say about one topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Whether a broker is connected.
    pub(super) connected: bool,
    /// The offset behind the last stable record, by partition, where known.
    pub(super) ends: Vec<(i32, i64)>,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, Broker>,
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Broker {
    state: String,
}

#[derive(Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    ls_offset: i64,
    hi_offset: i64,
}

/// Reads librdkafka's JSON.
pub(super) fn read(json: &[u8], topic: &str) -> serde_json::Result<Heard> {
    let mut statistics: Statistics = serde_json::from_slice(json)?;
    let mut ends: Vec<(i32, i64)> = statistics
        .topics
        .remove(topic)
        .into_iter()
        .flat_map(|topic| topic.partitions.into_values())
        .filter_map(|partition| {
            // both are negative until the first answer; brokers without transactions send no last
            // stable offset
            let known = [partition.ls_offset, partition.hi_offset];
            let end = known.into_iter().find(|&offset| offset >= 0)?;
            (partition.partition >= 0).then_some((partition.partition, end))
        })
        .collect();
    ends.sort_unstable();
    Ok(Heard {
        connected: statistics
            .brokers
            .values()
            .any(|broker| broker.state == "UP"),
        ends,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_stable_records() {
        let json =
            br#"{"name":"x","brokers":{"a":{"state":"UP","rtt":{}}},"topics":{"t":{"partitions":{
            "-1":{"partition":-1,"ls_offset":-1001,"hi_offset":-1001},
            "0":{"partition":0,"ls_offset":7,"hi_offset":9},
            "1":{"partition":1,"ls_offset":-1,"hi_offset":4},
            "2":{"partition":2,"ls_offset":-1001,"hi_offset":-1001}}},
            "other":{"partitions":{}}}}"#;
        let heard = read(json, "t").unwrap();
        assert_eq!(heard.ends, [(0, 7), (1, 4)]);
        assert!(heard.connected);
        assert_eq!(read(b"{}", "t").unwrap(), Heard::default());
    }
}
