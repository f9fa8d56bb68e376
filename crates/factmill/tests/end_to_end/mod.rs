//! The binary on real servers, from the topic to the tables.

mod bad_input;
mod banking;
mod batch;
mod dashboards;
mod embedded;
mod exactly_once;
mod jobs;
mod lake;
mod promise;
mod quarantine;
mod world;
