//! What names say: which look like ids, money or times, and what they are called in SQL.

use std::collections::HashSet;

/// Postgres cuts longer names off; some room is left for a number behind it.
const LONGEST: usize = 59;

/// The words of a name: `stationId`, `station_id` and `Station ID` are `station`, `id`.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    let letters: Vec<char> = name.chars().collect();
    for (index, &letter) in letters.iter().enumerate() {
        let next_is_lower = letters
            .get(index + 1)
            .is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase()
            && (before.is_lowercase()
                || before.is_numeric()
                || (before.is_uppercase() && next_is_lower));
        if (begins || !letter.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The name in SQL: lower case, words joined by `_`; `fallback` where nothing is left of it.
pub fn snake_case(name: &str, fallback: &str) -> String {
    let mut text = words(name).join("_");
    if name.starts_with('_') && !text.is_empty() && !text.starts_with("factmill") {
        text.insert(0, '_');
    }
    if text.starts_with(|first: char| first.is_numeric()) {
        text.insert(0, '_');
    }
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if text.is_empty() {
        fallback.to_owned()
    } else {
        text
    }
}

/// A name that is not taken yet, with a number behind it where it is; the case of letters is none.
pub(crate) fn free(wanted: String, taken: &mut HashSet<String>) -> String {
    let mut name = wanted.clone();
    let mut number = 2;
    while !taken.insert(name.to_lowercase()) {
        name = format!("{wanted}_{number}");
        number += 1;
    }
    name
}

/// Whether SQL reads it as it stands: ASCII lower case, no word with a meaning of its own.
fn is_plain(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(letters)
        && RESERVED.binary_search(&name).is_err()
}

/// An identifier of SQL, quoted where it has to be.
pub fn identifier(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// How many of a time's names are better than this one; `None` of a name that says nothing of time.
pub(super) fn time_rank(name: &str) -> Option<u8> {
    let words = words(name);
    let last = words.last()?.as_str();
    let said = match last {
        "timestamp" | "ts" => 0,
        "time" | "datetime" => 1,
        "at" => 2,
        "date" | "day" | "created" | "occurred" | "epoch" => 3,
        "ms" | "millis" | "us" | "micros" | "seconds"
            if words
                .iter()
                .any(|word| matches!(word.as_str(), "time" | "ts" | "epoch" | "timestamp")) =>
        {
            3
        }
        "updated" | "modified" => 13,
        _ => return None,
    };
    let changed = words
        .iter()
        .any(|word| matches!(word.as_str(), "updated" | "modified"));
    Some(if changed && said < 10 {
        said + 10
    } else {
        said
    })
}

/// Whether a time of this name is not when something happened: when it ends, when somebody was born.
pub(super) fn is_other_time(name: &str) -> bool {
    const OTHERS: [&str; 11] = [
        "deleted", "expires", "expired", "expiry", "until", "end", "ended", "valid", "birth",
        "due", "birthday",
    ];
    words(name)
        .iter()
        .any(|word| OTHERS.contains(&word.as_str()))
}

/// How many of an id's names are better than this one; `None` of a name that is no id's.
pub(super) fn id_rank(name: &str, table: &str) -> Option<u8> {
    let name_words = words(name);
    let (last, before) = name_words.split_last()?;
    match last.as_str() {
        "id" | "uuid" | "guid" if before.is_empty() => Some(0),
        "id" | "uuid" | "guid" if words(table).iter().any(|word| is_one_of(before, word)) => {
            Some(1)
        }
        "id" | "uuid" | "guid" if before == ["event"] || before == ["record"] => Some(1),
        "id" | "uuid" | "guid" => Some(2),
        "key" | "reference" | "ref" | "sku" | "isbn" | "iban" => Some(3),
        _ => None,
    }
}

/// Whether the words name one of what `many` names: `reading` of `readings`.
fn is_one_of(one: &[String], many: &str) -> bool {
    let [one] = one else { return false };
    one == many
        || many
            .strip_prefix(one.as_str())
            .is_some_and(|rest| matches!(rest, "s" | "es"))
}

/// Whether a name looks like an amount of money.
pub fn is_money(name: &str) -> bool {
    const MONEY: [&str; 29] = [
        "amount", "price", "cost", "costs", "fee", "fees", "total", "subtotal", "balance", "paid",
        "salary", "wage", "tax", "vat", "revenue", "charge", "fare", "rent", "tip", "budget",
        "turnover", "deposit", "refund", "gross", "eur", "usd", "gbp", "chf", "money",
    ];
    const NOT_MONEY: [&str; 16] = [
        "count",
        "number",
        "quantity",
        "qty",
        "items",
        "units",
        "rate",
        "percent",
        "percentage",
        "ratio",
        "share",
        "id",
        "at",
        "time",
        "date",
        "type",
    ];
    let words = words(name);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    any(&MONEY) && !any(&NOT_MONEY)
}

/// Whether a number of this name is no measure: adding it up says nothing.
pub fn is_label(name: &str) -> bool {
    const LABELS: [&str; 16] = [
        "id",
        "number",
        "no",
        "nr",
        "code",
        "year",
        "month",
        "day",
        "lat",
        "latitude",
        "lon",
        "lng",
        "longitude",
        "zip",
        "version",
        "index",
    ];
    let words = words(name);
    words
        .last()
        .is_some_and(|word| LABELS.contains(&word.as_str()))
}

/// Words that an expression cannot begin with, or a column cannot be called by, unquoted: Postgres's
/// reserved ones, and types and functions that shipped models quote too. Sorted.
const RESERVED: [&str; 108] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "binary",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "cluster",
    "collate",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "date",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "qualify",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "table",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_those_of_sql() {
        for (name, snake) in [
            ("stationId", "station_id"),
            ("Station ID", "station_id"),
            ("HTTPStatus2", "http_status2"),
            ("_id", "_id"),
            ("größe (cm)", "größe_cm"),
            ("2fa", "_2fa"),
            ("'\"", "column"),
            ("_factmill_order", "factmill_order"),
        ] {
            assert_eq!(snake_case(name, "column"), snake);
        }
        assert!(snake_case(&"é".repeat(80), "column").len() <= LONGEST);
    }

    #[test]
    fn words_with_a_meaning_are_quoted() {
        assert!(RESERVED.is_sorted(), "it is searched by halving");
        assert_eq!(identifier("meter_id"), "meter_id");
        assert_eq!(identifier("timestamp"), "\"timestamp\"");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn names_say_what_a_column_is() {
        assert!(is_money("unitPrice") && is_money("total_eur") && is_money("Amount"));
        assert!(!is_money("total_count") && !is_money("tax_rate") && !is_money("temperature"));
        assert!(time_rank("timestamp") < time_rank("measured_at"));
        assert!(time_rank("measured_at") < time_rank("updated_at"));
        assert_eq!(time_rank("format"), None);
        assert!(
            id_rank("reading_id", "weather_readings") < id_rank("station_id", "weather_readings")
        );
        assert_eq!(id_rank("paid", "x"), None);
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let mut taken = HashSet::new();
        let names = ["a", "A", "a"].map(|name| free(name.to_owned(), &mut taken));
        assert_eq!(names, ["a", "A_2", "a_3"]);
    }
}
