//! Who pays, and with which test card.

use crate::dice::{Dice, Purpose};

/// A test card: what Stripe tells of it.
pub(super) struct Card {
    pub(super) token: &'static str,
    pub(super) brand: &'static str,
    pub(super) network: &'static str,
    pub(super) last4: &'static str,
    pub(super) funding: &'static str,
    pub(super) country: &'static str,
    /// `decline_code` and its message.
    pub(super) declined: Option<(&'static str, &'static str)>,
}

const fn card(
    token: &'static str,
    (brand, network): (&'static str, &'static str),
    last4: &'static str,
    funding: &'static str,
) -> Card {
    Card {
        token,
        brand,
        network,
        last4,
        funding,
        country: "US",
        declined: None,
    }
}

const fn declined(token: &'static str, code: &'static str, message: &'static str) -> Card {
    Card {
        declined: Some((code, message)),
        ..card(token, VISA, "0002", "credit")
    }
}

const VISA: (&str, &str) = ("Visa", "visa");

pub(super) const CARDS: [Card; 8] = [
    card("tok_visa", VISA, "4242", "credit"),
    card("tok_visa_debit", VISA, "5556", "debit"),
    card(
        "tok_mastercard",
        ("MasterCard", "mastercard"),
        "4444",
        "credit",
    ),
    card("tok_amex", ("American Express", "amex"), "8431", "credit"),
    card("tok_discover", ("Discover", "discover"), "1117", "credit"),
    declined(
        "tok_chargeDeclined",
        "generic_decline",
        "Your card was declined.",
    ),
    declined(
        "tok_chargeDeclinedInsufficientFunds",
        "insufficient_funds",
        "Your card has insufficient funds.",
    ),
    declined(
        "tok_chargeDeclinedFraudulent",
        "fraudulent",
        "Your card was declined.",
    ),
];

const FIRST_NAMES: [&str; 16] = [
    "Amelia",
    "Ben",
    "Chloé",
    "Daniel",
    "Elif",
    "Freya",
    "Giulia",
    "Hiro",
    "Isla",
    "Jürgen",
    "Katarzyna",
    "Liam",
    "Maya",
    "Noah",
    "Olivia",
    "Pedro",
];
const LAST_NAMES: [&str; 16] = [
    "Andersson",
    "Brown",
    "Costa",
    "Dubois",
    "Evans",
    "Fischer",
    "García",
    "Hughes",
    "Ito",
    "Johansson",
    "Kowalski",
    "López",
    "Müller",
    "Novak",
    "O'Brien",
    "Rossi",
];
/// City, country, the beginning of a postal code.
const PLACES: [(&str, &str, &str); 12] = [
    ("London", "GB", "SW1A "),
    ("Manchester", "GB", "M1 "),
    ("Edinburgh", "GB", "EH1 "),
    ("New York", "US", "100"),
    ("Chicago", "US", "606"),
    ("Paris", "FR", "750"),
    ("Berlin", "DE", "101"),
    ("Madrid", "ES", "280"),
    ("Tokyo", "JP", "100-"),
    ("Toronto", "CA", "M5V "),
    ("Sydney", "AU", "20"),
    ("Stockholm", "SE", "111 "),
];

/// Who pays with a card: the same for a customer and a token.
pub(super) struct Payer {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) place: (&'static str, &'static str, String, String),
    pub(super) card_id: String,
    pub(super) fingerprint: String,
    pub(super) expires: (u32, u32),
}

impl Payer {
    pub(super) fn new(seed: u64, customer: &str, token: &str) -> Self {
        let mut dice = Dice::new(seed, hash(customer), Purpose::Person);
        let (first, last) = (dice.one_of(&FIRST_NAMES), dice.one_of(&LAST_NAMES));
        let (city, country, postal) = *dice.one_of(&PLACES);
        let postal = format!("{postal}{:02}", dice.below(100));
        let line = format!("{} High Street", 1 + dice.below(200));
        let mut of_card = Dice::new(seed, hash(customer) ^ hash(token), Purpose::Person);
        Self {
            name: format!("{first} {last}"),
            // A name that is reserved for examples (RFC 2606), so that no mail reaches anybody.
            email: format!("customer.{customer}@example.com"),
            place: (city, country, postal, line),
            card_id: format!("card_1{}", letters(&mut of_card, 23)),
            fingerprint: letters(&mut of_card, 16),
            expires: (1 + of_card.below(12), 2028 + of_card.below(6)),
        }
    }
}

/// Letters and digits as ids have them.
pub(super) fn letters(dice: &mut Dice, length: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..length)
        .map(|_| char::from(*dice.one_of(LETTERS)))
        .collect()
}

/// FNV-1a, 64 bits.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
