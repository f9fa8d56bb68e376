//! What the simulator remembers: charges, idempotency keys, requests of the last second.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::WINDOW;
use super::charge::invalid;
use super::payer::hash;

/// Charges and keys that are kept; older ones are forgotten.
const KEPT: usize = 100_000;

/// An answer: its status and JSON.
pub(super) type Answer = (StatusCode, String);

/// What was answered under an idempotency key.
#[derive(Debug)]
struct Answered {
    form: u64,
    answer: Answer,
}

/// The simulator's memory.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Ids and JSON, oldest first.
    charges: VecDeque<(String, String)>,
    answered: HashMap<String, Answered>,
    keys: VecDeque<String>,
    requests: VecDeque<Instant>,
    /// Charges that were ever made.
    made: u64,
}

impl Ledger {
    /// Whether a request of this moment is within the limit; counts it then.
    pub(super) fn admits(&mut self, now: Instant, limit: u32) -> bool {
        while let Some(first) = self.requests.front()
            && now.saturating_duration_since(*first) >= WINDOW
        {
            self.requests.pop_front();
        }
        let admitted = self.requests.len() < limit as usize;
        if admitted {
            self.requests.push_back(now);
        }
        admitted
    }

    /// What was answered under this key before; an error where the form was another one.
    pub(super) fn answered(&self, key: &str, form: &str) -> Option<Answer> {
        let before = self.answered.get(key)?;
        if before.form == hash(form) {
            return Some(before.answer.clone());
        }
        let error = json!({ "error": {
            "message": "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            "type": "idempotency_error",
        }});
        Some((StatusCode::BAD_REQUEST, error.to_string()))
    }

    /// Remembers what is answered under a key.
    pub(super) fn answer(&mut self, key: &str, form: &str, answer: &Answer) {
        let form = hash(form);
        let answer = answer.clone();
        self.answered
            .insert(key.to_owned(), Answered { form, answer });
        self.keys.push_back(key.to_owned());
        if self.keys.len() > KEPT
            && let Some(oldest) = self.keys.pop_front()
        {
            self.answered.remove(&oldest);
        }
    }

    /// Remembers a charge; how many were made with it.
    pub(super) fn keep(&mut self, charge: &Value) -> u64 {
        let id = charge["id"].as_str().unwrap_or_default().to_owned();
        self.charges.push_back((id, charge.to_string()));
        if self.charges.len() > KEPT {
            self.charges.pop_front();
        }
        self.made += 1;
        self.made
    }

    /// The JSON of a charge.
    pub(super) fn charge(&self, id: &str) -> Answer {
        match self.place(id) {
            Some(place) => (StatusCode::OK, self.charges[place].1.clone()),
            None => (StatusCode::NOT_FOUND, no_such(id)),
        }
    }

    /// A page of the list, as the parameters of the request say.
    pub(super) fn list(&self, query: &[(String, String)]) -> Answer {
        let get = |name: &str| {
            let found = query.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| &value[..])
        };
        let limit = get("limit").map_or(Ok(10), str::parse);
        let Ok(limit @ 1..=100) = limit else {
            let error = invalid("limit", "This value must be an integer between 1 and 100.");
            return (StatusCode::BAD_REQUEST, error.to_string());
        };
        let end = self.charges.len();
        let (from, to, has_more) = match (get("starting_after"), get("ending_before")) {
            (None, None) => (end.saturating_sub(limit), end, end > limit),
            (Some(id), None) => match self.place(id) {
                Some(place) => (place.saturating_sub(limit), place, place > limit),
                None => return (StatusCode::BAD_REQUEST, no_such(id)),
            },
            (None, Some(id)) => match self.place(id) {
                Some(place) => {
                    let to = (place + 1 + limit).min(end);
                    (place + 1, to, to < end)
                }
                None => return (StatusCode::BAD_REQUEST, no_such(id)),
            },
            (Some(_), Some(_)) => {
                let message = "You can only use one of starting_after and ending_before.";
                let error = invalid("ending_before", message);
                return (StatusCode::BAD_REQUEST, error.to_string());
            }
        };
        let newest_first: Vec<&str> = self
            .charges
            .range(from..to)
            .rev()
            .map(|(_, json)| &json[..])
            .collect();
        let list = format!(
            r#"{{"object":"list","data":[{}],"has_more":{has_more},"url":"/v1/charges"}}"#,
            newest_first.join(",")
        );
        (StatusCode::OK, list)
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.charges.iter().rposition(|(known, _)| known == id)
    }
}

fn no_such(id: &str) -> String {
    let error = json!({ "error": {
        "code": "resource_missing",
        "message": format!("No such charge: '{id}'"),
        "param": "id",
        "type": "invalid_request_error",
    }});
    error.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn page(ledger: &Ledger, query: &[(&str, &str)]) -> (Vec<u64>, bool) {
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (status, body) = ledger.list(&query);
        assert_eq!(status, StatusCode::OK, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let charges = body["data"].as_array().unwrap();
        let numbers = charges.iter().map(|charge| charge["n"].as_u64().unwrap());
        (numbers.collect(), body["has_more"].as_bool().unwrap())
    }

    #[test]
    fn pages_go_back_and_forth_without_gap_or_overlap() {
        let mut ledger = Ledger::default();
        assert_eq!(page(&ledger, &[]), (vec![], false));
        for n in 0..7 {
            ledger.keep(&json!({ "id": format!("ch_{n}"), "n": n }));
        }
        assert_eq!(page(&ledger, &[("limit", "3")]), (vec![6, 5, 4], true));
        let older = |id| page(&ledger, &[("limit", "3"), ("starting_after", id)]);
        assert_eq!(older("ch_4"), (vec![3, 2, 1], true));
        assert_eq!(older("ch_1"), (vec![0], false));
        assert_eq!(older("ch_3"), (vec![2, 1, 0], false));
        let newer = |id| page(&ledger, &[("limit", "3"), ("ending_before", id)]);
        assert_eq!(newer("ch_0"), (vec![3, 2, 1], true));
        assert_eq!(newer("ch_3"), (vec![6, 5, 4], false));
        assert_eq!(newer("ch_6"), (vec![], false));
        for wrong in [("limit", "0"), ("limit", "101"), ("ending_before", "ch_9")] {
            let query = [(wrong.0.to_owned(), wrong.1.to_owned())];
            assert_eq!(ledger.list(&query).0, StatusCode::BAD_REQUEST, "{wrong:?}");
        }
    }

    #[test]
    fn a_second_has_room_for_so_many_requests() {
        let mut ledger = Ledger::default();
        let start = Instant::now();
        assert!((0..3).all(|_| ledger.admits(start, 3)));
        assert!(!ledger.admits(start + WINDOW / 2, 3));
        assert!(ledger.admits(start + WINDOW, 3));
    }
}
