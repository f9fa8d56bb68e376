//! The events, each by its index.

use std::io::Write;

use uuid::Uuid;

use super::catalogue::{self, PRODUCTS, STORES};
use super::customers::{self, Customer};
use super::fault::fault;
use super::reviews::{self, Review};
use crate::clock::{Spread, Timestamp};
use crate::dice::{Dice, Purpose};
use crate::event::Event;
use crate::json_fault::JsonFault;

/// What the sequence of events depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventSettings {
    /// The same seed gives the same events.
    pub seed: u64,
    /// How event times follow each other.
    pub spread: Spread,
    /// How many of a hundred events are broken, 0 to 100.
    pub bad_percent: f64,
}

/// The events of some settings.
#[derive(Debug)]
pub struct RetailEvents {
    settings: EventSettings,
    stores: Vec<String>,
    store_ids: Vec<String>,
    products: Vec<String>,
    customers: Vec<Customer>,
}

const METHODS: [(&str, u32); 4] = [
    ("card", 58),
    ("mobile_wallet", 22),
    ("cash", 14),
    ("gift_card", 6),
];
const CHANNELS: [(&str, u32); 4] = [
    ("in_store", 55),
    ("web", 22),
    ("mobile_app", 15),
    ("click_and_collect", 8),
];
/// Percent off.
const DISCOUNTS: [(u32, u32); 6] = [(0, 66), (5, 8), (10, 12), (20, 8), (30, 4), (50, 2)];
/// Of a hundred sales: how many have a known customer, and how many a review.
const KNOWN: u32 = 92;
const REVIEWED: u32 = 30;

impl RetailEvents {
    /// The sequence for some settings; `bad_percent` counts as at most 100.
    pub fn new(settings: EventSettings) -> Self {
        Self {
            settings,
            stores: catalogue::stores(),
            store_ids: (0..STORES.len()).map(catalogue::store_id).collect(),
            products: catalogue::products(),
            customers: customers::all(),
        }
    }

    /// What is wrong with the event at `index`; `None` for a good one.
    pub fn fault(&self, index: u64) -> Option<JsonFault> {
        let EventSettings {
            seed, bad_percent, ..
        } = self.settings;
        fault(seed, index, bad_percent).map(|(fault, _)| fault)
    }

    /// The `transaction_id` of the event at `index`, a version 4 uuid; no two indexes share one.
    pub fn transaction_id(&self, index: u64) -> Uuid {
        let mut dice = Dice::new(self.settings.seed, index, Purpose::Identity);
        let (mark, permuted) = (dice.roll(), Dice::permute(self.settings.seed, index));
        // Version 4 stands in bits 12 to 15 of the first half, the variant on top of the second.
        let high = (mark & !0xF003) | 0x4000 | (permuted >> 62);
        let low = (permuted & (u64::MAX >> 2)) | (1 << 63);
        Uuid::from_u64_pair(high, low)
    }

    /// The review of the event at `index`, if it has one.
    pub fn review(&self, index: u64) -> Option<Review> {
        let mut dice = Dice::new(self.settings.seed, index, Purpose::Review);
        let store = &STORES[self.store(index)];
        (dice.below(100) < REVIEWED).then(|| reviews::review(&mut dice, store.language))
    }

    /// Writes the event at `index`, which must be as [`Event::clear`] leaves it.
    pub fn write(&self, index: u64, event: &mut Event) {
        event.set_key(self.store_ids[self.store(index)].as_bytes());
        self.write_good(index, event.payload_mut());
        let EventSettings {
            seed, bad_percent, ..
        } = self.settings;
        if let Some((fault, mut dice)) = fault(seed, index, bad_percent) {
            fault.apply(&mut dice, event);
        }
    }

    fn store(&self, index: u64) -> usize {
        let mut dice = Dice::new(self.settings.seed, index, Purpose::Place);
        dice.below(STORES.len() as u32) as usize
    }

    /// Appends the JSON of the event at `index`, which is never broken and has no line end.
    pub(super) fn write_good(&self, index: u64, payload: &mut Vec<u8>) {
        let mut dice = Dice::new(self.settings.seed, index, Purpose::Event);
        let store = self.store(index);
        let millis = self.settings.spread.millis(index);
        payload.extend_from_slice(b"{\"transaction_id\":\"");
        let mut id = [0; 36];
        self.transaction_id(index)
            .hyphenated()
            .encode_lower(&mut id);
        payload.extend_from_slice(&id);
        payload.extend_from_slice(b"\",\"timestamp\":");
        payload.extend_from_slice(Timestamp::new(millis).as_json());
        payload.extend_from_slice(b",\"store\":");
        payload.extend_from_slice(self.stores[store].as_bytes());
        payload.extend_from_slice(b",\"customer\":");
        if dice.below(100) < KNOWN {
            dice.one_of(&self.customers).append_to(payload, millis);
        } else {
            payload.extend_from_slice(b"null");
        }
        let cents = self.write_items(&mut dice, payload);
        let (method, channel) = (dice.one_by_share(&METHODS), dice.one_by_share(&CHANNELS));
        let currency = STORES[store].currency;
        // Writing into memory does not fail.
        let _ = write!(
            payload,
            r#","payment":{{"method":"{method}","amount":{}.{:02},"currency":"{currency}"}},"channel":"{channel}","review":"#,
            cents / 100,
            cents % 100
        );
        match self.review(index) {
            Some(review) => {
                let _ = write!(payload, "\"{}\"}}", review.text);
            }
            None => payload.extend_from_slice(b"null}"),
        }
    }

    /// Appends the items; what they cost in hundredths.
    fn write_items(&self, dice: &mut Dice, payload: &mut Vec<u8>) -> u64 {
        payload.extend_from_slice(b",\"items\":[");
        let lines = 1 + dice.below(5).min(dice.below(5));
        let mut total = 0;
        for line in 0..lines {
            let product = catalogue::popular(dice);
            let quantity = 1 + dice.below(4).min(dice.below(4));
            let percent = *dice.one_by_share(&DISCOUNTS);
            let price = PRODUCTS[product].2;
            payload.extend_from_slice(if line == 0 { &b"{"[..] } else { b",{" });
            payload.extend_from_slice(self.products[product].as_bytes());
            // Writing into memory does not fail.
            let _ = write!(
                payload,
                r#"{quantity},"unit_price":{}.{:02},"discount":0.{percent:02}}}"#,
                price / 100,
                price % 100
            );
            let hundredths = u64::from(quantity) * u64::from(price) * u64::from(100 - percent);
            total += (hundredths + 50) / 100;
        }
        payload.push(b']');
        total
    }
}
