//! Daily rates of the pound: a pure function of seed and date.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{Datelike, NaiveDate};

use crate::dice::{Dice, Purpose};

/// The currencies with a rate, and about what a pound is in them, in hundred-millionths.
const ABOUT: [(&str, u64); 10] = [
    ("usd", 131_000_000),
    ("eur", 114_000_000),
    ("jpy", 20_300_000_000),
    ("cad", 184_000_000),
    ("aud", 202_000_000),
    ("chf", 106_000_000),
    ("cny", 931_000_000),
    ("sek", 1_247_000_000),
    ("nzd", 232_000_000),
    ("mxn", 2_406_000_000),
];

/// The currencies with a rate.
pub const CURRENCIES: [&str; 10] = {
    let mut names = [""; 10];
    let mut at = 0;
    while at < names.len() {
        names[at] = ABOUT[at].0;
        at += 1;
    }
    names
};

/// A rate's unit: this many are one.
const ONE: u64 = 100_000_000;

/// What a pound is in ten currencies on each day; a day may be held back to come late.
#[derive(Debug)]
pub struct ForexRates {
    seed: u64,
    held_back: Mutex<BTreeSet<NaiveDate>>,
}

impl ForexRates {
    /// Rates that move by at most 2 % around a usual value.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            held_back: Mutex::default(),
        }
    }

    /// The rates of a day are not there until they are released.
    pub fn hold_back(&self, date: NaiveDate) {
        self.held().insert(date);
    }

    /// The rates of a day have come.
    pub fn release(&self, date: NaiveDate) {
        self.held().remove(&date);
    }

    /// The rates of a day in the order of [`CURRENCIES`], as decimal texts with eight decimals;
    /// `None` while they are held back.
    pub fn of(&self, date: NaiveDate) -> Option<[String; 10]> {
        if self.held().contains(&date) {
            return None;
        }
        let day = u64::from(date.num_days_from_ce().unsigned_abs());
        let mut dice = Dice::new(self.seed, day, Purpose::Rate);
        Some(ABOUT.map(|(_, about)| {
            // 98.0000 % to 102.0000 %
            let rate = about * u64::from(980_000 + dice.below(40_001)) / 1_000_000;
            format!("{}.{:08}", rate / ONE, rate % ONE)
        }))
    }

    /// The rates of a day as JSON: `{"date":"2026-11-20","gbp":{"usd":1.31…,…}}`.
    pub fn json(&self, date: NaiveDate) -> Option<String> {
        let rates = self.of(date)?;
        let mut json = format!("{{\"date\":\"{date}\",\"gbp\":{{");
        for (place, (currency, rate)) in CURRENCIES.iter().zip(rates).enumerate() {
            let comma = if place > 0 { "," } else { "" };
            // Writing into a String does not fail.
            let _ = write!(json, "{comma}\"{currency}\":{rate}");
        }
        json.push_str("}}");
        Some(json)
    }

    /// A set is whole after each change of it.
    fn held(&self) -> MutexGuard<'_, BTreeSet<NaiveDate>> {
        self.held_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_day_has_its_rates_and_may_come_late() {
        let rates = ForexRates::new(5);
        let day = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        let json = rates.json(day).unwrap();
        assert_eq!(ForexRates::new(5).json(day).unwrap(), json);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["date"], "2026-11-20");
        let names: Vec<_> = parsed["gbp"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, CURRENCIES);
        let yen = parsed["gbp"]["jpy"].as_f64().unwrap();
        assert!((198.0..208.0).contains(&yen), "{yen}");
        assert_ne!(rates.json(day.succ_opt().unwrap()), Some(json.clone()));

        rates.hold_back(day);
        assert_eq!(rates.json(day), None);
        rates.release(day);
        assert_eq!(rates.json(day), Some(json));
    }
}
