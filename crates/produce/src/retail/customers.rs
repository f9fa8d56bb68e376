//! The customers, and their loyalty tiers in the course of the month.

use crate::dice::Dice;

pub(super) const CUSTOMERS: usize = 1_500;
const TIERS: [&str; 4] = ["basic", "silver", "gold", "platinum"];
const AGES: [&str; 6] = ["18-24", "25-34", "35-44", "45-54", "55-64", "65+"];
const DAY: u64 = 86_400_000;

const FIRST_NAMES: [&str; 32] = [
    "Aino", "Anna", "Antoine", "Ayşe", "Bruno", "Camille", "Chiara", "Diego", "Elena", "Emma",
    "Erik", "Fatima", "Freya", "George", "Hanna", "Hiroshi", "Ingrid", "Jakub", "João", "Julia",
    "Kenji", "Lars", "Lucía", "Magda", "Marco", "Mehmet", "Nadia", "Oliver", "Piotr", "Sofia",
    "Svetlana", "William",
];
const LAST_NAMES: [&str; 32] = [
    "Andersson",
    "Bakker",
    "Bianchi",
    "Carter",
    "Costa",
    "Demir",
    "Dubois",
    "Evans",
    "Fernández",
    "Fischer",
    "García",
    "Hoffmann",
    "Ivanova",
    "Jansen",
    "Johansson",
    "Kaya",
    "Kowalski",
    "Lambert",
    "Lewandowska",
    "Lindqvist",
    "Lopes",
    "Martin",
    "Morgan",
    "Müller",
    "Novak",
    "O'Connor",
    "Petrov",
    "Rossi",
    "Sato",
    "Silva",
    "Tanaka",
    "Yılmaz",
];

/// A customer as written in every event, up to the tier.
#[derive(Debug)]
pub(super) struct Customer {
    start: String,
    /// The tier at the start of the month, then from which millisecond of it on it is another one.
    tier: &'static str,
    changes: Vec<(u64, &'static str)>,
}

pub(super) fn all() -> Vec<Customer> {
    (0..CUSTOMERS).map(customer).collect()
}

fn customer(number: usize) -> Customer {
    let mut dice = Dice::for_all_seeds(number as u64 ^ 0xC057);
    let (first, last) = (dice.one_of(&FIRST_NAMES), dice.one_of(&LAST_NAMES));
    let age = dice.one_of(&AGES);
    let start = format!(
        r#"{{"customer_id":"CUS-{:05}","name":"{first} {last}","age_group":"{age}","loyalty":""#,
        number + 1
    );
    let tier = dice.below(3) as usize;
    let (first_day, last_day) = (4 + dice.below(11), 16 + dice.below(13));
    let second = if dice.below(3) == 0 {
        tier
    } else {
        (tier + 2).min(3)
    };
    let mut changes = vec![
        (u64::from(first_day) * DAY, TIERS[tier + 1]),
        (u64::from(last_day) * DAY, TIERS[second]),
    ];
    // Half of the customers keep their tier, a quarter has one change.
    changes.truncate([0, 0, 1, 2][dice.below(4) as usize]);
    Customer {
        start,
        tier: TIERS[tier],
        changes,
    }
}

impl Customer {
    /// Appends the customer as at that time of the month, in milliseconds from its start.
    pub(super) fn append_to(&self, payload: &mut Vec<u8>, millis: u64) {
        let passed = self.changes.iter().rev().find(|(from, _)| *from <= millis);
        let tier = passed.map_or(self.tier, |(_, tier)| tier);
        payload.extend_from_slice(self.start.as_bytes());
        payload.extend_from_slice(tier.as_bytes());
        payload.extend_from_slice(b"\"}");
    }
}
