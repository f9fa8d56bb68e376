//! A key that is never printed.

use std::fmt;

/// The key of a web service: `Debug` and `Display` show `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Hides a key; white space around it, such as a line end, is no part of it.
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }

    /// A text of others, without the key where they quote it.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        match self.0.is_empty() {
            true => text.to_owned(),
            false => text.replace(&self.0, "***"),
        }
    }

    /// The key, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = ApiKey::new("sk_test_hunter2\n");
        assert_eq!(
            format!("{key} {key:?} {:?}", Some(&key)),
            "*** *** Some(***)"
        );
        assert_eq!(key.expose(), "sk_test_hunter2");
        assert_eq!(
            key.hidden_in("Bearer sk_test_hunter2, sk_test_hunter2!"),
            "Bearer ***, ***!"
        );
        assert_eq!(ApiKey::new("").hidden_in("as it is"), "as it is");
    }
}
