//! Payloads as producers write them, and topics to send them to.

use anyhow::Result;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::super::world::{PATIENCE, World};

/// A message behind the id of its schema.
pub(super) fn framed(id: u32, message: &[Vec<u8>]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &message.concat()].concat()
}

/// An Avro int or long.
pub(super) fn long(value: i64) -> Vec<u8> {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while left > 0x7F {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// An Avro string, or bytes.
pub(super) fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [&long(value.len() as i64), value].concat()
}

/// The branch of an Avro union.
pub(super) fn branch(number: i64, value: Vec<u8>) -> Vec<u8> {
    [long(number), value].concat()
}

/// Topics of one partition with names of this test's own.
pub(super) struct Topics {
    prefix: String,
    producer: FutureProducer,
}

impl Topics {
    pub(super) async fn create(world: &World, names: &[&str]) -> Result<Self> {
        let prefix = world.topic.clone();
        for name in names {
            world
                .servers
                .kafka
                .create_topic(&format!("{prefix}-{name}"), 1)
                .await?;
        }
        Ok(Self {
            prefix,
            producer: world.servers.kafka.producer()?,
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Sends a record and waits until it is stored; without payload it deletes its key.
    pub(super) async fn send(&self, name: &str, key: &[u8], payload: Option<&[u8]>) -> Result<()> {
        let topic = format!("{}-{name}", self.prefix);
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).key(key);
        record.payload = payload;
        let stored = self.producer.send(record, PATIENCE).await;
        stored.map_err(|(error, _)| error)?;
        Ok(())
    }
}
