//! Producers: where events come from, and the one runner that sends them to Kafka.
//!
//! An [`EventSource`] gives one event after the other; [`produce`] sends them with an idempotent
//! producer, paced, counted and bounded. A job's producer is a module with an `EventSource` of its
//! own, such as [`banking`] or [`payments`]; what reads a file or polls a service says with [`Next`] when it has to
//! wait and when it came to its end.

pub mod banking;
mod bookmark;
mod clock;
mod dice;
pub mod ecommerce;
mod event;
pub mod http;
mod json_fault;
mod partition;
pub mod payments;
mod rate;
pub mod retail;
mod send;
pub mod stripe;
mod unread;

pub use bookmark::BookmarkError;
pub use event::{Event, EventSource, Next};
pub use json_fault::JsonFault;
pub use partition::partition_of;
pub use rate::{InvalidRate, Rate};
pub use send::error::ProduceError;
pub use send::outbox::{Acknowledgement, KafkaOutbox, Outbox, Stored};
pub use send::{DEFAULT_PARTITIONS, ProduceConfig, Progress, Report, produce};
pub use unread::UnreadLimit;
