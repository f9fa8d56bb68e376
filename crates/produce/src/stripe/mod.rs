//! Test charges through Stripe's REST API, a batch of them in each Kafka message.
//!
//! A message is `{"transactions":[charge,…]}`, its key the number of the batch. Charges are as
//! Stripe's API gives them; a declined one is null. There are two ways to come by them, see
//! [`Mode`]. [`simulator`] is a Stripe on loopback that answers with the same JSON.

mod api;
mod error;
mod fault;
mod requests;
mod settings;
pub mod simulator;
mod source;

pub use error::StripeError;
pub use fault::FAULTS;
pub use requests::{ChargeRequest, ChargeRequests};
pub use settings::{BASE_URL, Mode, StripeSettings};
pub use source::StripeSource;

#[cfg(test)]
mod tests;
