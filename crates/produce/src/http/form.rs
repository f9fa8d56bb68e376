//! `application/x-www-form-urlencoded`, which bodies of forms and the queries of addresses share.

use reqwest::Url;

/// Writes pairs as a form.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut carrier = carrier();
    carrier.query_pairs_mut().extend_pairs(pairs);
    carrier.query().unwrap_or_default().to_owned()
}

/// Reads the pairs of a form in their order.
pub(crate) fn decode(form: &str) -> Vec<(String, String)> {
    let mut carrier = carrier();
    carrier.set_query(Some(form));
    carrier
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// An address whose query is the form.
fn carrier() -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse("http://form/").expect("it is an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_back_as_it_was() {
        let pairs = [
            ("metadata[order]", "a&b=c d+é%"),
            ("amount", "10"),
            ("", ""),
        ];
        let form = encode(pairs);
        assert_eq!(
            form,
            "metadata%5Border%5D=a%26b%3Dc+d%2B%C3%A9%25&amount=10&="
        );
        let read = decode(&form);
        let read: Vec<_> = read
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        assert_eq!(read, pairs);
    }
}
