//! Finds, installs and runs the servers that factmill needs and does not link: a private Postgres
//! for the embedded profile, every real server for the tests.
//!
//! - [`program`] finds executables, [`packages`] installs system packages by apt or brew where that
//!   needs no question, and names one command to copy where it does;
//! - [`cache`] keeps what was downloaded or built, once for all processes of a user;
//! - [`process`] runs a server that ends with the process that started it, however that one ends;
//! - [`postgres`] finds or fetches Postgres and runs a private server, as another user where the
//!   own one is root.
//!
//! Functions block unless they say `async`; what they install is said on stderr first, never on
//! stdout, which belongs to the results of a command.

pub mod account;
pub mod cache;
mod error;
pub mod packages;
pub mod postgres;
pub mod process;
pub mod program;

pub use error::ProvisionError;
