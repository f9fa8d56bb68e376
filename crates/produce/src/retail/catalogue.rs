//! The shops and what they sell.

use crate::dice::Dice;

/// A shop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Store {
    pub(super) name: &'static str,
    pub(super) city: &'static str,
    pub(super) region: &'static str,
    pub(super) currency: &'static str,
    /// ISO 639-1, what most of its reviews are written in.
    pub(super) language: &'static str,
}

const fn store(
    name: &'static str,
    city: &'static str,
    region: &'static str,
    currency: &'static str,
    language: &'static str,
) -> Store {
    Store {
        name,
        city,
        region,
        currency,
        language,
    }
}

pub(super) const STORES: [Store; 24] = [
    store("Covent Garden", "London", "Great Britain", "GBP", "en"),
    store(
        "Northern Quarter",
        "Manchester",
        "Great Britain",
        "GBP",
        "en",
    ),
    store("Royal Mile", "Edinburgh", "Great Britain", "GBP", "en"),
    store("Hudson Yards", "New York", "United States", "USD", "en"),
    store("Magnificent Mile", "Chicago", "United States", "USD", "en"),
    store("Pearl District", "Portland", "United States", "USD", "en"),
    store("Rivoli", "Paris", "France", "EUR", "fr"),
    store("Part-Dieu", "Lyon", "France", "EUR", "fr"),
    store("Hackesche Höfe", "Berlin", "Germany", "EUR", "de"),
    store("Marienplatz", "München", "Germany", "EUR", "de"),
    store("Gran Vía", "Madrid", "Spain", "EUR", "es"),
    store("El Born", "Barcelona", "Spain", "EUR", "es"),
    store("Brera", "Milano", "Italy", "EUR", "it"),
    store("Trastevere", "Roma", "Italy", "EUR", "it"),
    store("Chiado", "Lisboa", "Portugal", "EUR", "pt"),
    store("Jordaan", "Amsterdam", "Netherlands", "EUR", "nl"),
    store("Lijnbaan", "Rotterdam", "Netherlands", "EUR", "nl"),
    store("Södermalm", "Stockholm", "Sweden", "SEK", "sv"),
    store("Haga", "Göteborg", "Sweden", "SEK", "sv"),
    store("Nowy Świat", "Warszawa", "Poland", "PLN", "pl"),
    store("Kazimierz", "Kraków", "Poland", "PLN", "pl"),
    store("Beyoğlu", "İstanbul", "Türkiye", "TRY", "tr"),
    store("Brighton Beach", "New York", "United States", "USD", "ru"),
    store("Shibuya", "Tokyo", "Japan", "JPY", "ja"),
];

/// Something to buy: name, category, price in hundredths of every currency alike.
pub(super) type Product = (&'static str, &'static str, u32);

pub(super) const PRODUCTS: [Product; 48] = [
    ("Arabica Coffee Beans 1 kg", "grocery", 1899),
    ("Green Tea 100 g", "grocery", 749),
    ("Dark Chocolate 85 %", "grocery", 349),
    ("Extra Virgin Olive Oil", "grocery", 1299),
    ("Wildflower Honey", "grocery", 899),
    ("Rye Crispbread", "grocery", 279),
    ("Sea Salt Flakes", "grocery", 459),
    ("Almond Butter", "grocery", 799),
    ("French Press", "kitchen", 3490),
    ("Chef's Knife", "kitchen", 7995),
    ("Cast Iron Pan", "kitchen", 5490),
    ("Cutting Board", "kitchen", 2995),
    ("Electric Kettle", "kitchen", 4599),
    ("Toaster", "kitchen", 3999),
    ("Storage Jars", "kitchen", 1995),
    ("Digital Scale", "kitchen", 2450),
    ("Linen Bed Set", "home", 12900),
    ("Wool Blanket", "home", 8900),
    ("Scented Candle", "home", 1650),
    ("Table Lamp", "home", 5900),
    ("Wall Clock", "home", 3200),
    ("Bath Towel", "home", 1890),
    ("Door Mat", "home", 1495),
    ("Picture Frame", "home", 1190),
    ("Merino Pullover", "clothing", 8995),
    ("Cotton T-Shirt", "clothing", 1995),
    ("Rain Jacket", "clothing", 11900),
    ("Wool Socks", "clothing", 1290),
    ("Denim Jeans", "clothing", 6995),
    ("Leather Belt", "clothing", 3495),
    ("Knit Hat", "clothing", 2295),
    ("Running Shoes", "clothing", 10995),
    ("Wireless Earbuds", "electronics", 9999),
    ("Power Bank", "electronics", 3999),
    ("Smart Bulb", "electronics", 1499),
    ("USB-C Cable", "electronics", 1199),
    ("Bluetooth Speaker", "electronics", 6999),
    ("E-Book Reader", "electronics", 13999),
    ("Webcam", "electronics", 5499),
    ("Mechanical Keyboard", "electronics", 8999),
    ("Yoga Mat", "sports", 2999),
    ("Water Bottle", "sports", 1899),
    ("Resistance Bands", "sports", 1599),
    ("Bike Light Set", "sports", 2799),
    ("Climbing Chalk", "sports", 990),
    ("Swim Goggles", "sports", 1790),
    ("Trekking Poles", "sports", 6490),
    ("Jump Rope", "sports", 1290),
];

/// The JSON of all stores: `{"store_id":"STR-001",…}`.
pub(super) fn stores() -> Vec<String> {
    STORES
        .iter()
        .enumerate()
        .map(|(number, store)| {
            format!(
                r#"{{"store_id":"{}","name":"{}","city":"{}","region":"{}"}}"#,
                store_id(number),
                store.name,
                store.city,
                store.region
            )
        })
        .collect()
}

pub(super) fn store_id(number: usize) -> String {
    format!("STR-{:03}", number + 1)
}

/// The JSON of all products up to their quantity: `"sku":"SKU-0001",…,"quantity":`.
pub(super) fn products() -> Vec<String> {
    PRODUCTS
        .iter()
        .enumerate()
        .map(|(number, (name, category, _))| {
            format!(
                r#""sku":"SKU-{:04}","name":"{name}","category":"{category}","quantity":"#,
                number + 1
            )
        })
        .collect()
}

/// A product; those at the front of the list sell better.
pub(super) fn popular(dice: &mut Dice) -> usize {
    let end = PRODUCTS.len() as u32;
    dice.below(end).min(dice.below(end)) as usize
}
