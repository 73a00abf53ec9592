//! Who explains what: a largest assignment of claimants to places, of which each has room for a few.

/// Assigns each claimant to one of its places, as many claimants as can be, and none that can have one goes without because of a later
/// one. `options` are each claimant's places, `room` how many claimants each place takes. Augmenting paths (Kuhn): those who
/// are assigned stay so, which makes the order of the claimants one of priority.
pub(super) fn assign(options: &[Vec<usize>], room: &[usize]) -> Vec<Option<usize>> {
    assign_by_attempts(options.len(), options.iter().cloned().enumerate(), room)
}

/// The same by attempts: a claimant that has no place yet tries for one of these, and is then content with any of them.
pub(super) fn assign_by_attempts(
    claimants: usize,
    attempts: impl IntoIterator<Item = (usize, Vec<usize>)>,
    room: &[usize],
) -> Vec<Option<usize>> {
    let taken = vec![Vec::new(); room.len()];
    let mut matching = Matching { options: vec![Vec::new(); claimants], room, taken };
    let mut visited = vec![usize::MAX; room.len()];
    let mut is_placed = vec![false; claimants];
    for (round, (claimant, options)) in attempts.into_iter().enumerate() {
        if !is_placed[claimant] {
            matching.options[claimant] = options;
            is_placed[claimant] = matching.place(claimant, round, &mut visited);
        }
    }
    let mut assigned = vec![None; claimants];
    for (place, claimants) in matching.taken.iter().enumerate() {
        for claimant in claimants {
            assigned[*claimant] = Some(place);
        }
    }
    assigned
}

struct Matching<'m> {
    options: Vec<Vec<usize>>,
    room: &'m [usize],
    taken: Vec<Vec<usize>>,
}

impl Matching<'_> {
    /// Finds a place for a claimant, moving others if need be. `visited` has the round in which each place was tried last.
    fn place(&mut self, claimant: usize, round: usize, visited: &mut [usize]) -> bool {
        for option in 0..self.options[claimant].len() {
            let place = self.options[claimant][option];
            if visited[place] == round {
                continue;
            }
            visited[place] = round;
            if self.taken[place].len() < self.room[place] {
                self.taken[place].push(claimant);
                return true;
            }
            for index in 0..self.taken[place].len() {
                let other = self.taken[place][index];
                if self.place(other, round, visited) {
                    self.taken[place][index] = claimant;
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_makes_room_but_keeps_a_place() {
        let options = [vec![0, 1], vec![0], vec![0, 1]];
        assert_eq!(assign(&options, &[1, 1]), [Some(1), Some(0), None]);
        assert_eq!(assign(&options, &[2, 1]).iter().flatten().count(), 3);
        assert_eq!(assign(&options, &[0, 0]), [None, None, None]);
    }

    #[test]
    fn who_may_have_any_place_leaves_the_scarce_one_to_who_needs_it_early() {
        // The first may go anywhere in the end; tried narrowly first, both have the place that is early enough for them.
        let attempts = [(0, vec![1]), (1, vec![0]), (0, vec![0, 1])];
        assert_eq!(assign_by_attempts(2, attempts, &[1, 1]), [Some(1), Some(0)]);
        let attempts = [(0, vec![0]), (1, vec![0]), (0, vec![0, 1]), (1, vec![0, 1])];
        assert_eq!(assign_by_attempts(2, attempts, &[1, 1]), [Some(0), Some(1)]);
    }
}
