//! The merchants that are paid by card or by direct debit.

use crate::dice::{Dice, scaled};

const MERCHANTS: usize = 240;

/// All merchants, each as its JSON object.
#[derive(Debug)]
pub(super) struct Merchants(Vec<Box<[u8]>>);

impl Merchants {
    pub(super) fn new() -> Self {
        Self(
            (0..MERCHANTS)
                .map(|number| merchant(number).into_bytes().into())
                .collect(),
        )
    }

    /// The merchant that random bits choose, as JSON.
    pub(super) fn get(&self, bits: u64) -> &[u8] {
        &self.0[scaled(bits, MERCHANTS as u32) as usize]
    }
}

fn merchant(number: usize) -> String {
    // Far from the numbers of the customers, so that both do not share their dice.
    let mut dice = Dice::for_all_seeds((1 << 32) | number as u64);
    let (category, shops) = dice.one_of(&CATEGORIES);
    let (shop, place) = (dice.one_of(shops), dice.one_of(&PLACES));
    format!(r#"{{"merchant_id":"MER{number:04}","name":"{shop} {place}","category":"{category}"}}"#)
}

const CATEGORIES: [(&str, &[&str]); 8] = [
    ("groceries", &["Épicerie", "Marché", "Primeur"]),
    ("restaurant", &["Brasserie", "Bistrot", "Crêperie"]),
    ("transport", &["Taxi", "Parking", "Gare routière"]),
    ("utilities", &["Eau", "Énergie", "Fibre"]),
    ("health", &["Pharmacie", "Opticien", "Cabinet"]),
    ("clothing", &["Boutique", "Atelier", "Chausseur"]),
    ("leisure", &["Cinéma", "Librairie", "Théâtre"]),
    ("fuel", &["Station", "Garage", "Relais"]),
];

const PLACES: [&str; 16] = [
    "de l'Abbaye",
    "des Arts",
    "du Canal",
    "de la Cité",
    "du Château",
    "de l'Étoile",
    "de la Gare",
    "des Halles",
    "du Lac",
    "du Marais",
    "du Midi",
    "du Moulin",
    "de la Poste",
    "du Pont",
    "des Remparts",
    "du Vieux-Port",
];
