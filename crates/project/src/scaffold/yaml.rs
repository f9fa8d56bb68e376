//! Scalars of YAML, quoted where they have to be.

/// Indentation and width of what is written.
const WIDTH: usize = 110;

/// A scalar on one line, in a block: plain where YAML reads it back as this text.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A scalar in quotes: what JSON writes, YAML reads.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A scalar inside `{ }` or `[ ]`.
pub(super) fn inside(text: &str) -> String {
    if is_plain(text) && !text.contains([',', '[', ']', '{', '}']) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A scalar of a job file, where a `$` begins a variable.
pub(super) fn without_variables(text: &str) -> String {
    text.replace('$', "$$")
}

/// `key: value`, the value folded over lines at its commas and spaces where it is long.
pub(super) fn entry(indent: usize, key: &str, value: &str) -> String {
    let margin = " ".repeat(indent);
    let line = format!("{margin}{key}: {}\n", scalar(value));
    let foldable = is_plain(value) && !value.contains("  ");
    if line.chars().count() <= WIDTH || !foldable {
        return line;
    }
    let mut text = format!("{margin}{key}: >-\n");
    let mut row = String::new();
    for word in value.split(' ') {
        if !row.is_empty() && indent + 2 + row.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&format!("{margin}  {row}\n"));
            row.clear();
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    text.push_str(&format!("{margin}  {row}\n"));
    text
}

fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let first = |c: char| c.is_alphabetic() || c == '_';
    // what begins with a digit may be a number, a day, a time
    text.starts_with(first)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
        && !WORDS.contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for plain in ["weather", "numeric(18,2)", "text[]", "it's"] {
            assert_eq!(scalar(plain), plain);
        }
        for other in [
            "",
            "no",
            "12",
            "a: b",
            "a #b",
            "\"a\"",
            "- a",
            "a\nb",
            "2024-01-01",
            "*a",
        ] {
            assert!(scalar(other).starts_with('"'), "{other}");
        }
        assert_eq!(inside("a, b"), "\"a, b\"");
    }
}
