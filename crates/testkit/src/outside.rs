//! Servers that somebody else runs, and names that keep tests apart on a shared server.

use std::env;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The server that an environment variable names, when it is set and not empty.
pub(crate) fn server(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// A name that no other test uses, on a server that outlives this process either: lower case
/// letters, digits and `_`, starting with `prefix`.
pub fn unique_name(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{now:x}_{:x}_{number:x}", process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        assert_ne!(unique_name("a"), unique_name("a"));
    }
}
