//! The binary on real servers, from the topic to the tables.

mod bad_input;
mod banking;
mod dashboards;
mod exactly_once;
mod lake;
mod world;
