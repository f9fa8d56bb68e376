//! The binary on real servers, from the topic to the tables.

mod bad_input;
mod banking;
mod batch;
mod changes;
mod dashboards;
mod embedded;
mod exactly_once;
mod formats;
mod jobs;
mod lake;
mod own_job;
mod page;
mod promise;
mod quarantine;
mod sinks;
mod world;
