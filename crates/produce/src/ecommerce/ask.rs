//! What a client asks of a response, in the query of its address.

use std::fmt;

use crate::rate::Rate;

/// What a response shall be. What is left out, the service decides.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ask {
    /// How fast events follow each other.
    pub rate: Option<Rate>,
    /// The response ends after so many documents.
    pub count: Option<u64>,
    /// The same seed gives the same documents, but for their times.
    pub seed: Option<u64>,
    /// How many of a hundred documents are broken, 0 to 100.
    pub bad_percent: Option<f64>,
    /// The index of the first document.
    pub from: u64,
}

/// A query that asks for nothing the service can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAsk {
    /// A value that the parameter cannot have.
    #[error("`{name}` cannot be `{value}`; {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A parameter that the service does not know.
    #[error("there is no parameter `{0}`; use rate, count, seed, bad, from")]
    Unknown(String),
}

impl Ask {
    /// Reads the query of an address. Its values are numbers and words, so nothing is decoded.
    pub(super) fn read(query: &str) -> Result<Self, InvalidAsk> {
        let mut ask = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "rate" => {
                    let expected = "a number of events a second above 0, or `max`";
                    ask.rate = Some(parsed("rate", value, expected)?);
                }
                "count" => ask.count = Some(parsed("count", value, "a number of documents")?),
                "seed" => ask.seed = Some(parsed("seed", value, "a number below 2^64")?),
                "from" => ask.from = parsed("from", value, "a number below 2^64")?,
                "bad" => {
                    let expected = "a share of a hundred, 0 to 100";
                    let percent = parsed("bad", value, expected)?;
                    if !(0.0..=100.0).contains(&percent) {
                        return Err(invalid("bad", value, expected));
                    }
                    ask.bad_percent = Some(percent);
                }
                _ => return Err(InvalidAsk::Unknown(name.to_owned())),
            }
        }
        Ok(ask)
    }
}

fn parsed<T: std::str::FromStr>(
    name: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, InvalidAsk> {
    value.parse().map_err(|_| invalid(name, value, expected))
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> InvalidAsk {
    InvalidAsk::Value {
        name,
        value: value.to_owned(),
        expected,
    }
}

/// The query, without its question mark; empty where nothing is asked for.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Vec::new();
        pairs.extend(self.rate.map(|rate| format!("rate={rate}")));
        pairs.extend(self.count.map(|count| format!("count={count}")));
        pairs.extend(self.seed.map(|seed| format!("seed={seed}")));
        pairs.extend(self.bad_percent.map(|percent| format!("bad={percent}")));
        pairs.extend((self.from > 0).then(|| format!("from={}", self.from)));
        f.write_str(&pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_was_written() {
        let ask = Ask {
            rate: Some(Rate::PerSecond(2.5)),
            count: Some(10),
            seed: Some(u64::MAX),
            bad_percent: Some(0.5),
            from: 7,
        };
        assert_eq!(
            ask.to_string(),
            "rate=2.5&count=10&seed=18446744073709551615&bad=0.5&from=7"
        );
        assert_eq!(Ask::read(&ask.to_string()), Ok(ask));
        assert_eq!(Ask::read(""), Ok(Ask::default()));
        assert_eq!(Ask::default().to_string(), "");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (query, named) in [
            ("rate=0", "`rate`"),
            ("count=-1", "`count`"),
            ("bad=101", "`bad`"),
            ("bad=NaN", "`bad`"),
            ("seed", "`seed`"),
            ("speed=1", "`speed`"),
        ] {
            let refused = Ask::read(query).map_err(|error| error.to_string());
            assert!(
                refused.as_ref().is_err_and(|error| error.contains(named)),
                "{query}: {refused:?}"
            );
        }
    }
}
