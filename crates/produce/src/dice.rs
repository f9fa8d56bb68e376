//! Random numbers that belong to an index: no state passes from one event to the next.

/// What numbers are drawn for, so that one drawing does not shift another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Event = 1,
    Identity = 2,
    Fault = 3,
    Size = 4,
    Rate = 5,
    Person = 6,
    Review = 7,
    Place = 8,
}

/// SplitMix64 (Steele, Lea, Flood 2014), begun at a place that seed, index and purpose decide.
#[derive(Debug)]
pub(crate) struct Dice(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finalizer of SplitMix64: a permutation of 64 bits.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Dice {
    pub(crate) fn new(seed: u64, index: u64, purpose: Purpose) -> Self {
        let of_seed = mix(seed.wrapping_add(GOLDEN.wrapping_mul(purpose as u64)));
        Self(mix(of_seed ^ index))
    }

    /// Dice for what is the same in every sequence, such as the population.
    pub(crate) fn for_all_seeds(number: u64) -> Self {
        Self(mix(number))
    }

    /// The indexes in another order: no two give the same.
    pub(crate) fn permute(seed: u64, index: u64) -> u64 {
        mix(index ^ mix(seed))
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number from 0 to `end - 1`, all about equally likely.
    #[inline]
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        scaled(self.roll(), end)
    }

    /// Whether something comes to pass that does so in `percent` of a hundred cases.
    #[inline]
    pub(crate) fn happens(&mut self, percent: f64) -> bool {
        u128::from(self.roll()) < (percent / 100.0 * 2_f64.powi(64)) as u128
    }

    /// One of some things, each as often as its share of a hundred.
    #[inline]
    pub(crate) fn one_by_share<'t, T>(&mut self, things: &'t [(T, u32)]) -> &'t T {
        let mut of_hundred = self.below(100);
        for (thing, share) in things {
            if of_hundred < *share {
                return thing;
            }
            of_hundred -= share;
        }
        &things[0].0
    }

    /// One of some things.
    #[inline]
    pub(crate) fn one_of<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len() as u32) as usize]
    }
}

/// Random bits as a number from 0 to `end - 1`.
#[inline]
pub(crate) fn scaled(bits: u64, end: u32) -> u32 {
    ((u64::from((bits >> 32) as u32) * u64::from(end)) >> 32) as u32
}
