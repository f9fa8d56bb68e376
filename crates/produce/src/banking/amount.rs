//! Amounts in euros, as a JSON text or a JSON number.

use crate::dice::Dice;

/// An amount, written.
#[derive(Debug)]
pub(super) struct Amount {
    text: [u8; Self::LONGEST],
    start: usize,
}

impl Amount {
    /// Ten digits of cents, the point, two quotes.
    const LONGEST: usize = 13;

    /// An amount of `cents.0` to `cents.1` cents, small ones more often. Half of them are texts with
    /// two decimals, the others numbers, some of which end with their last digit that is not zero.
    pub(super) fn between(cents: (u32, u32), dice: &mut Dice) -> Self {
        let (least, most) = cents;
        let span = most - least;
        let cents = least + dice.below(span + 1).min(dice.below(span + 1));
        let mut amount = Self {
            text: [b'"'; Self::LONGEST],
            start: Self::LONGEST,
        };
        match dice.below(4) {
            0 | 1 => {
                amount.start -= 1;
                amount.digits(cents, 0);
                amount.start -= 1;
            }
            2 => amount.digits(cents, 0),
            _ if cents.is_multiple_of(100) => amount.digits(cents, 2),
            _ if cents.is_multiple_of(10) => amount.digits(cents, 1),
            _ => amount.digits(cents, 0),
        }
        amount
    }

    /// Writes before what is there, leaving out the last digits of the cents.
    fn digits(&mut self, cents: u32, left_out: u32) {
        let mut rest = cents / 10_u32.pow(left_out);
        let decimals = 2 - left_out;
        let mut written = 0;
        while rest > 0 || written <= decimals {
            if written == decimals && decimals > 0 {
                self.put(b'.');
            }
            self.put(b'0' + (rest % 10) as u8);
            rest /= 10;
            written += 1;
        }
    }

    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.text[self.start] = byte;
    }

    /// The JSON text.
    pub(super) fn as_json(&self) -> &[u8] {
        &self.text[self.start..]
    }
}
