//! How many leading events are all settled, whatever the order in which they settle.

use std::collections::VecDeque;

/// The settled events of a run by their index: a window of bits from the first word that is not
/// full on. It is as long as events are in flight, so the client's queue bounds it.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// Events before the window, all settled.
    before: u64,
    /// One bit an event, the lowest first; the first word is never full.
    window: VecDeque<u64>,
}

impl Prefix {
    /// The event at `index` is settled. An index before the window was settled already.
    #[inline]
    pub(super) fn settle(&mut self, index: u64) {
        let Some(at) = index.checked_sub(self.before) else {
            return;
        };
        let word = (at / 64) as usize;
        if word >= self.window.len() {
            self.window.resize(word + 1, 0);
        }
        self.window[word] |= 1 << (at % 64);
        while self.window.front() == Some(&u64::MAX) {
            self.window.pop_front();
            self.before += 64;
        }
    }

    /// The number of events that are settled without a gap, from the first one on.
    pub(super) fn len(&self) -> u64 {
        let begun = self.window.front().map_or(0, |word| word.trailing_ones());
        self.before + u64::from(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_the_prefix_until_it_is_filled() {
        let mut prefix = Prefix::default();
        assert_eq!(prefix.len(), 0);
        for index in (0..300).filter(|index| *index != 130) {
            prefix.settle(index);
        }
        assert_eq!(prefix.len(), 130);
        prefix.settle(130);
        assert_eq!(prefix.len(), 300);
        assert!(prefix.window.len() <= 1, "what is behind takes no room");
    }

    #[test]
    fn any_order_ends_at_the_same_place() {
        let mut prefix = Prefix::default();
        for index in (0..1000).rev() {
            assert_eq!(prefix.len(), 0);
            prefix.settle(index);
        }
        assert_eq!(prefix.len(), 1000);
        prefix.settle(3);
        assert_eq!(prefix.len(), 1000, "told twice counts once");
    }
}
