//! What the simulated shop sells, and to whom.

use rand::Rng;
use rand::rngs::StdRng;

/// Customers are numbered from 1.
const CUSTOMERS: u32 = 800;

pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// In hundredths of the order's currency.
    pub(super) cents: u32,
}

pub(super) struct Place {
    pub(super) city: &'static str,
    pub(super) state: &'static str,
    pub(super) zip_code: &'static str,
    pub(super) country: &'static str,
    pub(super) currency: &'static str,
}

/// A customer, who always lives in the same place.
pub(super) struct Customer {
    pub(super) id: u32,
    pub(super) street: String,
    pub(super) place: &'static Place,
}

pub(super) fn customer(dice: &mut StdRng) -> Customer {
    let id = dice.random_range(1..=CUSTOMERS);
    // The address follows from the number alone.
    let street = STREETS[(id as usize * 7) % STREETS.len()];
    Customer {
        id,
        street: format!("{} {street}", id % 97 + 1),
        place: &PLACES[id as usize % PLACES.len()],
    }
}

pub(super) fn one_of<'t, T>(dice: &mut StdRng, things: &'t [T]) -> &'t T {
    &things[dice.random_range(0..things.len())]
}

/// How often each payment method is chosen, of 100 orders.
pub(super) const PAYMENT_METHODS: [(&str, u32); 5] = [
    ("Credit Card", 41),
    ("PayPal", 24),
    ("Debit Card", 16),
    ("Apple Pay", 12),
    ("Bank Transfer", 7),
];

/// How often an order is in each state, of 100.
pub(super) const STATUSES: [(&str, u32); 4] = [
    ("Processing", 38),
    ("Shipped", 30),
    ("Delivered", 24),
    ("Cancelled", 8),
];

pub(super) fn weighted(dice: &mut StdRng, choices: &[(&'static str, u32)]) -> &'static str {
    let all = choices.iter().map(|(_, share)| share).sum();
    let mut left = dice.random_range(0..all);
    for (choice, share) in choices {
        if left < *share {
            return choice;
        }
        left -= share;
    }
    choices[0].0
}

const fn product(id: &'static str, name: &'static str, cents: u32) -> Product {
    Product { id, name, cents }
}

pub(super) const PRODUCTS: [Product; 24] = [
    product("P-1001", "Espresso machine", 24_900),
    product("P-1002", "Coffee grinder", 8_950),
    product("P-1003", "Kettle", 3_990),
    product("P-1004", "Toaster", 4_495),
    product("P-1005", "Chef's knife", 5_900),
    product("P-1006", "Cutting board", 1_950),
    product("P-2001", "Wireless mouse", 2_499),
    product("P-2002", "Mechanical keyboard", 9_999),
    product("P-2003", "27 inch monitor", 27_900),
    product("P-2004", "USB-C cable", 1_299),
    product("P-2005", "Noise-cancelling headphones", 19_950),
    product("P-2006", "Laptop stand", 3_450),
    product("P-3001", "Running shoes", 11_900),
    product("P-3002", "Rain jacket", 8_490),
    product("P-3003", "Yoga mat", 2_990),
    product("P-3004", "Water bottle", 1_790),
    product("P-3005", "Daypack 20 l", 6_490),
    product("P-4001", "Desk lamp", 3_899),
    product("P-4002", "Notebook, dotted", 1_190),
    product("P-4003", "Fountain pen", 2_650),
    product("P-4004", "Board game \"Harbour\"", 3_995),
    product("P-4005", "Puzzle, 1000 pieces", 1_499),
    product("P-5001", "Cotton sheets", 5_495),
    product("P-5002", "Wool blanket", 7_950),
];

const STREETS: [&str; 12] = [
    "Station Road",
    "Market Street",
    "Mill Lane",
    "Harbour View",
    "Lindenstraße",
    "Rue de la Paix",
    "Church Street",
    "Oak Avenue",
    "Birch Close",
    "Rue des Écoles",
    "King Street",
    "Elm Court",
];

const fn place(
    city: &'static str,
    state: &'static str,
    zip_code: &'static str,
    country: &'static str,
    currency: &'static str,
) -> Place {
    Place {
        city,
        state,
        zip_code,
        country,
        currency,
    }
}

const PLACES: [Place; 14] = [
    place("Portland", "Oregon", "97205", "United States", "USD"),
    place("Boston", "Massachusetts", "02108", "United States", "USD"),
    place("Austin", "Texas", "78701", "United States", "USD"),
    place("Chicago", "Illinois", "60601", "United States", "USD"),
    place("Toronto", "Ontario", "M5H 2N2", "Canada", "CAD"),
    place("Montréal", "Québec", "H2Y 1C6", "Canada", "CAD"),
    place("Bristol", "England", "BS1 4DJ", "United Kingdom", "GBP"),
    place("Leeds", "England", "LS1 5QS", "United Kingdom", "GBP"),
    place("Glasgow", "Scotland", "G1 3SL", "United Kingdom", "GBP"),
    place("Lyon", "Auvergne-Rhône-Alpes", "69002", "France", "EUR"),
    place("Nantes", "Pays de la Loire", "44000", "France", "EUR"),
    place("Köln", "Nordrhein-Westfalen", "50667", "Germany", "EUR"),
    place("Leipzig", "Sachsen", "04109", "Germany", "EUR"),
    place("Utrecht", "Utrecht", "3511 AD", "Netherlands", "EUR"),
];
