//! The binary on real servers, from the topic to the tables.

mod bad_input;
mod banking;
mod batch;
mod dashboards;
mod embedded;
mod exactly_once;
mod lake;
mod own_job;
mod quarantine;
mod world;
