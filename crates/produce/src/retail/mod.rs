//! Sales of shops, from a streaming API.
//!
//! An event is a JSON object:
//!
//! | field | value |
//! |---|---|
//! | `transaction_id` | a uuid, another one for each index and seed |
//! | `timestamp` | RFC 3339 in UTC with milliseconds, in January 2024; see [`Spread`] |
//! | `store` | `store_id`, `name`, `city`, `region`; the id is the event's key, too |
//! | `customer` | `customer_id`, `name`, `age_group`, `loyalty` (basic, silver, gold, platinum), which changes in the course of the month; null where nobody is known |
//! | `items` | one to five of `sku`, `name`, `category`, `quantity`, `unit_price`, `discount` (the share that is taken off, 0 to 0.5) |
//! | `payment` | `method` (card, cash, mobile_wallet, gift_card), `amount`, `currency` |
//! | `channel` | `in_store`, `web`, `mobile_app`, `click_and_collect` |
//! | `review` | a text in one of twelve languages, or null |
//!
//! `amount` is the sum over the items of quantity times price without the discount, each rounded to
//! cents. The event at an index is a pure function of settings and index, so a sequence can be
//! continued or checked from any place.
//!
//! [`RetailSource`] reads such events from `GET /stream`, [`serve`] is a service that gives them.

mod catalogue;
mod customers;
mod events;
mod fault;
mod parse;
mod reviews;
mod simulator;
mod source;
mod stream;

pub use crate::clock::Spread;
pub use events::{EventSettings, RetailEvents};
pub use fault::FAULTS;
pub use reviews::{Review, Tone};
pub use simulator::{SimulatorSettings, serve};
pub use source::{RetailError, RetailSettings, RetailSource};
pub use stream::StreamFormat;

#[cfg(test)]
mod tests;
