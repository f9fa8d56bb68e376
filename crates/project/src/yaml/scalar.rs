//! Scalars, and what a plain one means.

/// A single value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    text: String,
    quoted: bool,
    variables: Variables,
}

/// Whether variables stand in a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variables {
    None,
    Resolved,
    /// One is not set, and the value is not needed.
    Unresolved,
}

/// What a scalar means by YAML 1.2's core schema; quoted ones are always text.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number or a float.
    Number(serde_json::Number),
    /// Anything else.
    Text,
}

impl Scalar {
    /// An unquoted scalar.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            quoted: false,
            variables: Variables::None,
        }
    }

    /// A scalar in quotes or in a block: text.
    pub fn quoted(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            quoted: true,
            variables: Variables::None,
        }
    }

    /// The text, quotes and escapes resolved.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a variable stood in it: then its value is never printed, and it is read as whatever
    /// type is expected, however it is quoted.
    pub fn is_substituted(&self) -> bool {
        self.variables != Variables::None
    }

    /// Whether a variable in it is not set, so that nothing can be said about its value.
    pub(super) fn is_unresolved(&self) -> bool {
        self.variables == Variables::Unresolved
    }

    /// Puts the text with its variables resolved.
    pub(super) fn substitute(&mut self, text: String) {
        self.text = text;
        self.variables = Variables::Resolved;
    }

    pub(super) fn leave_unresolved(&mut self) {
        self.variables = Variables::Unresolved;
    }

    /// What it means where any type may stand.
    pub fn plain_value(&self) -> Plain {
        if self.quoted {
            Plain::Text
        } else {
            self.unquoted_value()
        }
    }

    /// What its text would mean without quotes.
    pub fn unquoted_value(&self) -> Plain {
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
            "true" | "True" | "TRUE" => Plain::Boolean(true),
            "false" | "False" | "FALSE" => Plain::Boolean(false),
            text => number(text).map_or(Plain::Text, Plain::Number),
        }
    }

    pub(super) fn describe(&self) -> String {
        let what = match self.plain_value() {
            Plain::Null => return "nothing".into(),
            Plain::Boolean(_) => "",
            Plain::Number(_) => "the number ",
            Plain::Text => "the text ",
        };
        if self.is_substituted() {
            return "the value of a variable".into();
        }
        format!("{what}`{}`", self.text)
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        match self.plain_value() {
            Plain::Null => serde_json::Value::Null,
            Plain::Boolean(value) => value.into(),
            Plain::Number(number) => number.into(),
            Plain::Text => self.text.clone().into(),
        }
    }
}

/// Whole numbers in decimal, `0x`, `0o`; floats. Infinities and NaN have no JSON and stay text.
fn number(text: &str) -> Option<serde_json::Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(Into::into);
        }
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    if !digits.contains(|c: char| c.is_ascii_digit())
        || !digits
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
    {
        return None;
    }
    text.parse::<f64>()
        .ok()
        .and_then(serde_json::Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        for (text, json) in [
            ("", "null"),
            ("~", "null"),
            ("True", "true"),
            ("yes", "\"yes\""),
            ("12", "12"),
            ("-7", "-7"),
            ("0x1F", "31"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            (".inf", "\".inf\""),
            ("1.2.3", "\"1.2.3\""),
            ("20ms", "\"20ms\""),
            ("2024-01-01", "\"2024-01-01\""),
            ("infinity", "\"infinity\""),
        ] {
            assert_eq!(Scalar::plain(text).to_json().to_string(), json, "{text}");
        }
        assert_eq!(Scalar::quoted("12").to_json().to_string(), "\"12\"");
    }
}
