//! Real servers for tests: Postgres, Kafka, a MongoDB-compatible store, a schema registry,
//! Mockoon as a third party's API, and DuckDB as the judge of the lake.
//!
//! Each server runs on a free port with a temporary folder and ends with the test process, also when
//! that one is killed. What a server needs (Java, Maven, Go, Python) is installed where that takes no
//! question; what was downloaded or built stays in the user's cache folder
//! ([`factmill_provision::cache::folder`]).
//!
//! `FACTMILL_TEST_POSTGRES`, `FACTMILL_TEST_KAFKA`, `FACTMILL_TEST_MONGO` and `FACTMILL_TEST_REGISTRY`
//! name servers that run already. Those are never stopped: tests that kill or restart a server ask `restartable()` first
//! and say that they skip.
//!
//! Tests share one server of a kind through `shared()` and keep apart by names: a fresh database, a
//! fresh topic ([`unique_name`]). A test that kills a server starts its own.

mod browser;
mod duckdb;
pub mod grafana;
mod kafka;
mod mockoon;
mod mongo;
mod outside;
mod postgres;
pub mod project;
mod registry;
mod scratch;
mod tables;
pub mod toolchain;

pub use browser::Browser;
pub use duckdb::DuckDb;
pub use kafka::Kafka;
pub use mockoon::Mockoon;
pub use mongo::{Mongo, MongoProxy};
pub use outside::unique_name;
pub use postgres::{Postgres, TestDatabase};
pub use registry::SchemaRegistry;
pub use tables::same_tables;
