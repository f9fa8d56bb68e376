//! The binary on real servers, from the topic to the tables.

mod banking;
mod exactly_once;
mod world;
