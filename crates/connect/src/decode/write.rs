//! Values as JSON text.

use std::io::Write;

/// Appends a text in quotes. It need not be UTF-8: the reader of the whole document sees to that.
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => write_to(out, format_args!("\\u{byte:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends bytes as the text `\x00ff`.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(br#""\\x"#);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'"');
}

/// Appends a number by its shortest digits that read back the same; one that JSON has no number for
/// as a text, which is refused.
pub(crate) fn float(out: &mut Vec<u8>, value: impl std::fmt::Debug) {
    let start = out.len();
    write_to(out, format_args!("{value:?}"));
    // `NaN`, `inf`, `-inf`
    if out.last().is_some_and(u8::is_ascii_alphabetic) {
        out.insert(start, b'"');
        out.push(b'"');
    }
}

/// Appends formatted text.
pub(crate) fn write_to(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes every byte");
}
