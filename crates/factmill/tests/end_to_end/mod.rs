//! The binary on real servers, from the topic to the tables.

mod bad_input;
mod banking;
mod batch;
mod changes;
mod dashboards;
mod embedded;
mod exactly_once;
mod formats;
mod lake;
mod page;
mod quarantine;
mod sinks;
mod world;
