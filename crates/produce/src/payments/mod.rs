//! Payments from a CSV file, cleaned and scaled with Polars.
//!
//! The file names the columns `Description` and `Amount` in its header; others are ignored. It is
//! read a chunk of rows at a time, some chunks are cleaned at once, and nothing else is in memory. An
//! event is a JSON object:
//!
//! | field | value |
//! |---|---|
//! | `description` | cleaned; empty where nothing was left |
//! | `amount` | scaled to 0..1 in double precision, beyond where the scaler was not fitted to it; null |
//! | `amount_raw` | the decimal as the file has it, as a text; null |
//! | `row_number` | the data row, from 1; refused rows are counted too |
//! | `file` | SHA-256 of the file's content, in hexadecimal digits |
//! | `out_of_range` | whether the amount lies outside of the scaler's range |
//!
//! Its key is the first half of the hash and the row number, so a row always comes to the same
//! partition.
//!
//! Cleaning, in this order: lower case by Unicode's full mapping; all but a-z, 0-9 and white space is
//! dropped with nothing in its place; a space comes before a digit that follows a letter; NLTK's
//! English stop words are dropped, and one space stands between the other words. A stop word with an
//! apostrophe is none any more once that is gone: `don't` becomes `dont` and stays. A description
//! that the file leaves empty, or that is one of pandas' words for null, is a [`Refusal`]; one that
//! cleaning leaves empty is an empty text. A null amount stays null.

mod clean;
mod error;
mod event;
mod fault;
mod files;
mod output;
mod pipeline;
mod records;
mod report;
mod rows;
mod scaler;
mod source;
mod state;

pub use error::{PaymentsError, ScalerError};
pub use fault::Fault;
pub use output::{clean_file, fit};
pub use report::{PaymentsMeter, PaymentsReport, Refusal, RefusedRow, TOLD_ROWS};
pub use scaler::Scaler;
pub use source::{DEFAULT_CHUNK_SIZE, DEFAULT_TASKS, PaymentsSettings, PaymentsSource};

#[cfg(test)]
mod tests;
