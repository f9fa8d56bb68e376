//! The document of a transaction, and random ones.

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::fault::Fault;
use super::shop::{self, PAYMENT_METHODS, PRODUCTS, STATUSES, one_of, weighted};

/// A transaction of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Order {
    /// The transaction; one that is sent again has the same id.
    #[schema(example = "5f0c2f4e-6c3b-4a53-9b5c-6c1f0a4f2a10")]
    pub transaction_id: String,
    /// ISO 8601; without an offset it is UTC.
    #[schema(example = "2026-11-21T14:30:12.345678")]
    pub timestamp: String,
    /// The customer's number.
    #[schema(example = 42)]
    pub customer_id: u32,
    /// What was bought, one line each.
    pub product_details: Vec<Line>,
    /// The sum of the lines in the currency's major unit.
    pub total_amount: Money,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// How it was paid.
    #[schema(example = "Credit Card")]
    pub payment_method: String,
    /// Where it goes.
    pub shipping_address: Address,
    /// Processing, Shipped, Delivered or Cancelled.
    #[schema(example = "Shipped")]
    pub status: String,
}

/// A line of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Line {
    /// The product.
    #[schema(example = "P-1003")]
    pub product_id: String,
    /// Its name.
    #[schema(example = "Kettle")]
    pub product_name: String,
    /// How many.
    #[schema(example = 2)]
    pub quantity: u32,
    /// Of one, in the currency's major unit.
    pub price: Money,
}

/// Where a transaction goes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Address {
    /// House number and street.
    #[schema(example = "12 Mill Lane")]
    pub street: String,
    /// The city.
    #[schema(example = "Bristol")]
    pub city: String,
    /// State, province or region.
    #[schema(example = "England")]
    pub state: String,
    /// The postal code, a text: some begin with 0.
    #[schema(example = "BS1 4DJ")]
    pub zip_code: String,
    /// The country.
    #[schema(example = "United Kingdom")]
    pub country: String,
}

/// An amount, as a number or as a text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Money {
    /// 79.8
    Number(f64),
    /// "79.80"
    Text(String),
}

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As the project's own generator does: numbers, now and then as texts; times without offset.
    Own,
    /// As a third party may: numbers as texts, other casing of the status, fields of its own.
    Foreign,
}

/// Random documents, each a function of seed, index and the time it is made at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orders {
    pub(super) seed: u64,
    pub(super) bad_percent: f64,
    pub(super) manner: Manner,
}

/// A document as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) transaction_id: String,
    pub(super) json: Vec<u8>,
    pub(super) is_bad: bool,
}

#[derive(Serialize)]
struct Foreign {
    #[serde(flatten)]
    order: Order,
    loyalty_points: u32,
    warehouse: Warehouse,
}

#[derive(Serialize)]
struct Warehouse {
    code: &'static str,
}

impl Orders {
    /// The document at `index`, made at `now`.
    pub(super) fn write(&self, index: u64, now: DateTime<Utc>) -> Written {
        let dice = &mut self.dice(index);
        let order = self.order(dice, now);
        let is_bad = dice.random_bool(self.bad_percent / 100.0);
        let transaction_id = order.transaction_id.clone();
        let mut json = match self.manner {
            Manner::Own => written(&order),
            Manner::Foreign => written(&Foreign {
                loyalty_points: dice.random_range(0..500),
                warehouse: Warehouse { code: "W7" },
                order,
            }),
        };
        if is_bad {
            one_of(dice, &Fault::ALL).apply(&mut json, dice);
        }
        Written {
            transaction_id,
            json,
            is_bad,
        }
    }

    fn dice(&self, index: u64) -> StdRng {
        // 2^64 over the golden ratio: neighbouring indexes get far seeds.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        StdRng::seed_from_u64(self.seed ^ index.wrapping_mul(GOLDEN))
    }

    fn order(&self, dice: &mut StdRng, now: DateTime<Utc>) -> Order {
        let transaction_id = uuid::Builder::from_random_bytes(dice.random()).into_uuid();
        let customer = shop::customer(dice);
        let texts = match self.manner {
            Manner::Own => dice.random_ratio(1, 8),
            Manner::Foreign => true,
        };
        let mut cents = 0;
        let product_details = (0..dice.random_range(1..=4))
            .map(|_| {
                let product = one_of(dice, &PRODUCTS);
                let quantity = dice.random_range(1..=3);
                cents += u64::from(product.cents * quantity);
                Line {
                    product_id: product.id.to_owned(),
                    product_name: product.name.to_owned(),
                    quantity,
                    price: money(u64::from(product.cents), texts),
                }
            })
            .collect();
        let status = weighted(dice, &STATUSES);
        Order {
            transaction_id: id(transaction_id),
            timestamp: match self.manner {
                Manner::Own => now.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
                Manner::Foreign => now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            },
            customer_id: customer.id,
            product_details,
            total_amount: money(cents, texts),
            currency: customer.place.currency.to_owned(),
            payment_method: weighted(dice, &PAYMENT_METHODS).to_owned(),
            shipping_address: Address {
                street: customer.street,
                city: customer.place.city.to_owned(),
                state: customer.place.state.to_owned(),
                zip_code: customer.place.zip_code.to_owned(),
                country: customer.place.country.to_owned(),
            },
            status: match self.manner {
                Manner::Own => status.to_owned(),
                Manner::Foreign => match dice.random_range(0..3) {
                    0 => status.to_uppercase(),
                    1 => status.to_lowercase(),
                    _ => status.to_owned(),
                },
            },
        }
    }
}

fn id(id: Uuid) -> String {
    id.hyphenated().to_string()
}

fn money(cents: u64, as_text: bool) -> Money {
    if as_text {
        Money::Text(format!("{}.{:02}", cents / 100, cents % 100))
    } else {
        Money::Number(cents as f64 / 100.0)
    }
}

fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("texts and numbers are always written")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn orders(seed: u64, bad_percent: f64, manner: Manner) -> Orders {
        Orders {
            seed,
            bad_percent,
            manner,
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_262_400, 123_456_000).unwrap()
    }

    fn document(orders: &Orders, index: u64) -> Value {
        serde_json::from_slice(&orders.write(index, noon()).json).unwrap()
    }

    fn cents(money: &Value) -> u64 {
        let amount: f64 = match money {
            Value::String(text) => text.parse().unwrap(),
            number => number.as_f64().unwrap(),
        };
        (amount * 100.0).round() as u64
    }

    #[test]
    fn a_seed_repeats_its_documents_and_another_gives_others() {
        let (one, again) = (orders(7, 10.0, Manner::Own), orders(7, 10.0, Manner::Own));
        let other = orders(8, 10.0, Manner::Own);
        let mut ids = HashSet::new();
        for index in 0..2000 {
            let written = one.write(index, noon());
            assert_eq!(again.write(index, noon()), written);
            assert!(ids.insert(written.transaction_id));
            assert!(ids.insert(other.write(index, noon()).transaction_id));
        }
    }

    #[test]
    fn the_total_is_the_sum_of_the_lines() {
        let orders = orders(1, 0.0, Manner::Own);
        let (mut texts, mut states) = (0, HashSet::new());
        for index in 0..2000 {
            let order = document(&orders, index);
            let lines = order["product_details"].as_array().unwrap();
            let sum: u64 = lines
                .iter()
                .map(|line| cents(&line["price"]) * line["quantity"].as_u64().unwrap())
                .sum();
            assert_eq!(sum, cents(&order["total_amount"]), "{order}");
            assert_eq!(order["timestamp"], "2026-11-21T12:00:00.123456");
            texts += u32::from(order["total_amount"].is_string());
            states.insert(order["status"].as_str().unwrap().to_owned());
        }
        assert!((150..350).contains(&texts), "{texts} as texts");
        assert_eq!(states.len(), 4);
    }

    #[test]
    fn a_third_party_writes_in_its_own_manner() {
        let orders = orders(1, 0.0, Manner::Foreign);
        let mut states = HashSet::new();
        for index in 0..500 {
            let order = document(&orders, index);
            assert!(order["total_amount"].is_string() && order["loyalty_points"].is_u64());
            assert_eq!(order["timestamp"], "2026-11-21T12:00:00.123Z");
            states.insert(order["status"].as_str().unwrap().to_owned());
        }
        assert_eq!(states.len(), 12, "each state in three casings");
    }

    #[test]
    fn as_many_are_broken_as_asked_for() {
        for (percent, range) in [(0.0, 0..=0), (5.0, 400..=600), (100.0, 10_000..=10_000)] {
            let orders = orders(3, percent, Manner::Own);
            let broken = (0..10_000)
                .filter(|&index| orders.write(index, noon()).is_bad)
                .count();
            assert!(range.contains(&broken), "{percent} percent gave {broken}");
        }
    }
}
