//! Sets of numbers that are mostly consecutive, as a list of ranges.

use serde::{Deserialize, Serialize};

/// Each range from its first number to its last; apart from one another, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub fn insert(&mut self, number: u64) {
        let place = self.0.partition_point(|(_, last)| *last < number);
        let is_behind = place > 0 && self.0[place - 1].1.checked_add(1) == Some(number);
        let next = self.0.get(place).copied();
        if next.is_some_and(|(first, _)| first <= number) {
            return;
        }
        let is_before = next.is_some_and(|(first, _)| number.checked_add(1) == Some(first));
        match (is_behind, is_before) {
            (true, true) => {
                self.0[place - 1].1 = self.0[place].1;
                self.0.remove(place);
            }
            (true, false) => self.0[place - 1].1 = number,
            (false, true) => self.0[place].0 = number,
            (false, false) => self.0.insert(place, (number, number)),
        }
    }

    /// Those from `first` up to `end`, beyond all that are there.
    pub fn append(&mut self, first: u64, end: u64) {
        let Some(last) = end.checked_sub(1).filter(|last| *last >= first) else { return };
        match self.0.last_mut() {
            Some((_, before)) if before.checked_add(1) == Some(first) => *before = last,
            before => {
                debug_assert!(before.is_none_or(|(_, before)| *before < first), "beyond all");
                self.0.push((first, last));
            }
        }
    }

    pub fn contains(&self, number: u64) -> bool {
        self.place_of(number).is_some()
    }

    pub fn remove(&mut self, number: u64) {
        let Some(place) = self.place_of(number) else { return };
        let (first, last) = self.0.remove(place);
        if number < last {
            self.0.insert(place, (number + 1, last));
        }
        if first < number {
            self.0.insert(place, (first, number - 1));
        }
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        let place = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(place).filter(|(first, _)| *first <= number).map(|_| place)
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        numbers.into_iter().for_each(|number| ranges.insert(number));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ranges_are_a_set(
            numbers in prop::collection::vec(prop_oneof![0_u64..40, u64::MAX - 9..=u64::MAX], 0..60),
            without in prop::collection::vec(0_u64..40, 0..20),
        ) {
            let mut set: BTreeSet<u64> = numbers.iter().copied().collect();
            let mut ranges: Ranges = numbers.into_iter().collect();
            let is_apart = |pair: &[(u64, u64)]| pair[0].1 + 1 < pair[1].0;
            prop_assert!(ranges.0.windows(2).all(is_apart), "{ranges:?}");
            for number in without {
                set.remove(&number);
                ranges.remove(number);
            }
            prop_assert!(ranges.iter().eq(set.iter().copied()));
            prop_assert!((0..50).all(|number| ranges.contains(number) == set.contains(&number)));
        }

        #[test]
        fn ranges_are_appended(ends in prop::collection::btree_set(0_u64..99, 0..12)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            let ends: Vec<_> = ends.into_iter().collect();
            for pair in ends.chunks_exact(2) {
                ranges.append(pair[0], pair[1]);
                ranges.append(pair[1], pair[1]);
                set.extend(pair[0]..pair[1]);
            }
            prop_assert!(ranges.iter().eq(set));
        }
    }
}
