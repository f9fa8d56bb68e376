//! "Did you mean": the known name nearest to what was written.

/// The known name that is nearest, when it is near enough to be meant: at most a third of the
/// longer one's characters differ, by Damerau and Levenshtein, case aside; ties go to the first.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .into_iter()
        .filter_map(|name| {
            let distance = strsim::damerau_levenshtein(&lower, &name.to_lowercase());
            let longer = lower.chars().count().max(name.chars().count());
            (distance <= longer.div_ceil(3).min(longer.saturating_sub(1)))
                .then_some((distance, name))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The help of a diagnostic about an unknown name: the nearest one, else all of them, else that
/// there is none. `what` is the plural: `keys`, `sources`.
pub fn help<'a>(written: &str, what: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest(written, known.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    list(what, &known)
}

/// The help of a diagnostic about a word that is none of a few: the nearest one, and all of them,
/// since they are what one chooses from. `what` is the plural: `values`.
pub fn help_with_all<'a>(
    written: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let all = list(what, &known);
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? {all}"),
        None => all,
    }
}

fn list(what: &str, known: &[&str]) -> String {
    /// A list longer than this helps nobody.
    const LISTED: usize = 20;
    match known.len() {
        0 => format!("there are no {what}"),
        count if count > LISTED => format!(
            "known {what}: {}, and {} more",
            known[..LISTED].join(", "),
            count - LISTED
        ),
        _ => format!("known {what}: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_a_guess_is_not_made() {
        let known = ["topic", "start", "dim_account"];
        assert_eq!(nearest("tpoic", known), Some("topic"));
        assert_eq!(nearest("dim_acount", known), Some("dim_account"));
        assert_eq!(nearest("TOPIC", known), Some("topic"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("a", ["b"]), None, "one letter is not near another");
        assert_eq!(
            help("zzz", "keys", known),
            "known keys: topic, start, dim_account"
        );
        assert_eq!(help("zzz", "keys", []), "there are no keys");
        assert_eq!(
            help_with_all("tpoic", "keys", known),
            "did you mean `topic`? known keys: topic, start, dim_account"
        );
        assert_eq!(
            help_with_all("zzz", "keys", known),
            help("zzz", "keys", known)
        );
    }
}
