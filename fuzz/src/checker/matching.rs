//! Who explains what: a largest assignment of claimants to places, of which each has room for a few.

/// Assigns each claimant to one of its places, as many claimants as can be, and none that can have one goes without because of a later
/// one. `options` are each claimant's places, `room` how many claimants each place takes. Augmenting paths (Kuhn): those who
/// are assigned stay so, which makes the order of the claimants one of priority.
pub(super) fn assign(options: &[Vec<usize>], room: &[usize]) -> Vec<Option<usize>> {
    let mut matching = Matching { options, room, taken: vec![Vec::new(); room.len()] };
    let mut visited = vec![usize::MAX; room.len()];
    for claimant in 0..options.len() {
        matching.place(claimant, claimant, &mut visited);
    }
    let mut assigned = vec![None; options.len()];
    for (place, claimants) in matching.taken.iter().enumerate() {
        for claimant in claimants {
            assigned[*claimant] = Some(place);
        }
    }
    assigned
}

struct Matching<'m> {
    options: &'m [Vec<usize>],
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
}
