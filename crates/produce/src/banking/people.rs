//! The customers and their accounts.

use crate::dice::{Dice, scaled};

const CUSTOMERS: usize = 2_000;
/// The first half of the customers has two accounts.
const ACCOUNTS: usize = 3_000;

/// An account as it is written in every event of it.
#[derive(Debug)]
pub(super) struct Account {
    /// In quotes: `"ACC000123"`.
    id: Box<[u8]>,
    customer: usize,
}

/// All accounts.
#[derive(Debug)]
pub(super) struct Accounts {
    accounts: Vec<Account>,
    customers: Vec<Box<[u8]>>,
}

/// An account with its holder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'a> {
    account: &'a Account,
    customer: &'a [u8],
}

impl Accounts {
    pub(super) fn new() -> Self {
        Self {
            accounts: (0..ACCOUNTS)
                .map(|number| Account {
                    id: format!("\"ACC{number:06}\"").into_bytes().into(),
                    customer: number % CUSTOMERS,
                })
                .collect(),
            customers: (0..CUSTOMERS)
                .map(|number| customer(number).into_bytes().into())
                .collect(),
        }
    }

    /// The account that random bits choose.
    pub(super) fn get(&self, bits: u64) -> Held<'_> {
        let account = &self.accounts[scaled(bits, ACCOUNTS as u32) as usize];
        Held {
            account,
            customer: &self.customers[account.customer],
        }
    }
}

impl<'a> Held<'a> {
    /// Its id as JSON.
    pub(super) fn id(self) -> &'a [u8] {
        &self.account.id
    }

    /// Its id without quotes.
    pub(super) fn key(self) -> &'a [u8] {
        &self.account.id[1..self.account.id.len() - 1]
    }

    /// Its holder as JSON.
    pub(super) fn customer(self) -> &'a [u8] {
        self.customer
    }
}

/// The customer's JSON object. No name of the lists needs an escape.
fn customer(number: usize) -> String {
    let mut dice = Dice::for_all_seeds(number as u64);
    let (first, last) = (dice.one_of(&FIRST_NAMES), dice.one_of(&LAST_NAMES));
    let (city, host) = (dice.one_of(&CITIES), dice.one_of(&MAIL_HOSTS));
    let email = format!("{}.{}{number}@{host}", plain(first), plain(last));
    format!(
        r#"{{"customer_id":"CUST{number:05}","name":"{first} {last}","city":"{city}","email":"{email}"}}"#
    )
}

/// A name as mail addresses write it: lower case, no accents, no signs.
fn plain(name: &str) -> String {
    let letters = name.to_lowercase();
    letters
        .chars()
        .filter_map(|letter| match letter {
            'à' | 'â' => Some('a'),
            'é' | 'è' | 'ê' | 'ë' => Some('e'),
            'î' | 'ï' => Some('i'),
            'ô' => Some('o'),
            'ù' | 'û' => Some('u'),
            'ç' => Some('c'),
            letter => letter.is_ascii_lowercase().then_some(letter),
        })
        .collect()
}

const FIRST_NAMES: [&str; 48] = [
    "Adèle",
    "Agathe",
    "Alexandre",
    "Alice",
    "Anaïs",
    "Antoine",
    "Arthur",
    "Aurélie",
    "Baptiste",
    "Benoît",
    "Camille",
    "Céline",
    "Chloé",
    "Claire",
    "Clément",
    "Corinne",
    "Damien",
    "Élise",
    "Émile",
    "Étienne",
    "Fabien",
    "François",
    "Gaëlle",
    "Guillaume",
    "Hélène",
    "Hugo",
    "Inès",
    "Jean-Luc",
    "Jérôme",
    "Jules",
    "Juliette",
    "Léa",
    "Loïc",
    "Louis",
    "Lucie",
    "Manon",
    "Margaux",
    "Mathilde",
    "Maxime",
    "Nathalie",
    "Noémie",
    "Océane",
    "Pauline",
    "Raphaël",
    "Sébastien",
    "Thibault",
    "Valérie",
    "Zoé",
];

const LAST_NAMES: [&str; 48] = [
    "Barbier",
    "Benoit",
    "Bernard",
    "Blanc",
    "Bonnet",
    "Boucher",
    "Boyer",
    "Carpentier",
    "Chevalier",
    "Clément",
    "D'Angelo",
    "David",
    "Dubois",
    "Dufour",
    "Dumas",
    "Dupont",
    "Durand",
    "Fabre",
    "Faure",
    "Fontaine",
    "Fournier",
    "Garnier",
    "Gauthier",
    "Girard",
    "Guérin",
    "Lacroix",
    "Lambert",
    "Laurent",
    "Leclercq",
    "Lefèvre",
    "Lemaître",
    "Leroy",
    "Marchand",
    "Martin",
    "Mercier",
    "Meunier",
    "Moreau",
    "Morel",
    "Noël",
    "Perrin",
    "Petit",
    "Renard",
    "Robert",
    "Roussel",
    "Rousseau",
    "Roux",
    "Simon",
    "Vidal",
];

const CITIES: [&str; 24] = [
    "Aix-en-Provence",
    "Amiens",
    "Angers",
    "Besançon",
    "Bordeaux",
    "Brest",
    "Clermont-Ferrand",
    "Dijon",
    "Grenoble",
    "Le Havre",
    "Le Mans",
    "Lille",
    "Lyon",
    "Marseille",
    "Metz",
    "Montpellier",
    "Nantes",
    "Nice",
    "Nîmes",
    "Orléans",
    "Paris",
    "Rennes",
    "Saint-Étienne",
    "Toulouse",
];

/// Names that are reserved for examples (RFC 2606), so that no mail reaches anybody.
const MAIL_HOSTS: [&str; 3] = ["example.com", "example.net", "example.org"];
