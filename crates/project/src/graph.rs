//! The order of models, and the cycles that there must not be.

use std::collections::{BTreeMap, BTreeSet};

/// Nodes by name and what each reads; names that are not nodes themselves are ignored.
pub(crate) type Reads = BTreeMap<String, Vec<String>>;

/// All nodes, each behind those that it reads, ties in order of name.
///
/// # Errors
/// The cycles, each as its names in reading order, the smallest first.
pub(crate) fn order(reads: &Reads) -> Result<Vec<String>, Vec<Vec<String>>> {
    let mut waits: BTreeMap<&str, BTreeSet<&str>> = reads
        .iter()
        .map(|(name, read)| {
            let known = read
                .iter()
                .map(String::as_str)
                .filter(|read| reads.contains_key(*read));
            (name.as_str(), known.collect())
        })
        .collect();
    let mut ordered: Vec<String> = Vec::new();
    while let Some(ready) = waits
        .iter()
        .find(|(_, waits)| waits.is_empty())
        .map(|(name, _)| *name)
    {
        waits.remove(ready);
        for others in waits.values_mut() {
            others.remove(ready);
        }
        ordered.push(ready.to_owned());
    }
    if waits.is_empty() {
        Ok(ordered)
    } else {
        Err(cycles(waits))
    }
}

/// The cycles among nodes that wait for each other, or for a node of a cycle.
fn cycles<'a>(mut waits: BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<String>> {
    let mut cycles = Vec::new();
    while let Some(start) = waits.keys().next().copied() {
        // every node here waits for another one here, so the walk comes back to where it was
        let mut walk = vec![start];
        let cycle = loop {
            let last = walk[walk.len() - 1];
            let waiting = |name: &&&'a str| waits.contains_key(**name);
            let Some(next) = waits
                .get(last)
                .and_then(|next| next.iter().find(waiting))
                .copied()
            else {
                waits.remove(last);
                break None;
            };
            if let Some(seen) = walk.iter().position(|name| *name == next) {
                break Some(walk.split_off(seen));
            }
            walk.push(next);
        };
        let Some(mut cycle) = cycle else {
            continue;
        };
        for name in &cycle {
            waits.remove(name);
        }
        let smallest = cycle
            .iter()
            .enumerate()
            .min_by_key(|(_, name)| **name)
            .map_or(0, |(index, _)| index);
        cycle.rotate_left(smallest);
        cycles.push(cycle.into_iter().map(str::to_owned).collect());
    }
    cycles.sort();
    cycles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(pairs: &[(&str, &[&str])]) -> Reads {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs
            .iter()
            .map(|(name, read)| ((*name).to_owned(), owned(read)))
            .collect()
    }

    #[test]
    fn what_is_read_comes_first_and_ties_go_by_name() {
        let graph = reads(&[("z", &[]), ("a", &["m", "seed"]), ("m", &["z"]), ("b", &[])]);
        assert_eq!(
            order(&graph),
            Ok(["b", "z", "m", "a"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn every_cycle_is_named_once() {
        let graph = reads(&[
            ("b", &["c"]),
            ("c", &["a"]),
            ("a", &["b"]),
            ("x", &["x"]),
            ("user", &["b"]),
            ("ok", &[]),
        ]);
        assert_eq!(
            order(&graph),
            Err(vec![
                ["a", "b", "c"].map(str::to_owned).to_vec(),
                vec!["x".to_owned()]
            ])
        );
    }
}
