//! What `top` knows: queues over time, their rates, and what the user has chosen. It draws nothing and asks nobody.
//!
//! A queue is known by its segment's id: another queue under the same name starts anew. One that is gone stays for
//! `GONE_FOR`, so that people see it go. Rates are those between the last two looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::look::{Look, Participant, State, Totals};

/// Depths that are kept: more than the widest screen shows.
const MAX_HISTORY: usize = 512;
/// How long a queue that is gone is still shown.
const GONE_FOR: Duration = Duration::from_secs(5);

/// All of it.
#[derive(Debug, Default)]
pub struct Model {
    queues: BTreeMap<String, Queue>,
    pub sort: SortBy,
    /// Against the column's own direction.
    pub is_reversed: bool,
    /// The selected queue's name: it stays selected wherever it is sorted to.
    selected: Option<String>,
    pub has_details: bool,
    pub has_help: bool,
    /// Why the last look failed.
    pub trouble: Option<String>,
}

/// One queue over time.
#[derive(Debug)]
pub struct Queue {
    pub look: Look,
    /// Items at each look, the newest last; none where it could not be looked into.
    pub depths: VecDeque<Option<usize>>,
    pub rates: Rates,
    /// By place in the table of participants.
    participants: BTreeMap<u32, Rates>,
    looked_at: Duration,
    gone_since: Option<Duration>,
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub puts_per_second: f64,
    pub gets_per_second: f64,
    /// Items dropped by puts into the full queue.
    pub overwritten_per_second: f64,
    /// Share of the time that producers waited for room: of the queue, the mean of those who put.
    pub put_waiting: f64,
    /// Share of the time that consumers waited for items: of the queue, the mean of those who get.
    pub get_waiting: f64,
}

/// The columns that rows can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    #[default]
    Name,
    Items,
    Full,
    Puts,
    Gets,
    Bytes,
    PutWaits,
    GetWaits,
    Processes,
}

impl SortBy {
    const ALL: [Self; 9] = [
        Self::Name,
        Self::Items,
        Self::Full,
        Self::Puts,
        Self::Gets,
        Self::Bytes,
        Self::PutWaits,
        Self::GetWaits,
        Self::Processes,
    ];

    pub fn next(self) -> Self {
        let place = Self::ALL.iter().position(|&other| other == self).unwrap_or(0);
        Self::ALL[(place + 1) % Self::ALL.len()]
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Items => "items",
            Self::Full => "how full",
            Self::Puts => "puts/s",
            Self::Gets => "gets/s",
            Self::Bytes => "bytes/s",
            Self::PutWaits => "put waits",
            Self::GetWaits => "get waits",
            Self::Processes => "processes",
        }
    }

    /// What is compared; names are compared as text.
    fn value(self, queue: &Queue) -> f64 {
        match self {
            Self::Name => 0.0,
            Self::Items => queue.items().unwrap_or(0) as f64,
            Self::Full => queue.fill().unwrap_or(0.0),
            Self::Puts => queue.rates.puts_per_second,
            Self::Gets => queue.rates.gets_per_second,
            Self::Bytes => queue.bytes_per_second(),
            Self::PutWaits => queue.rates.put_waiting,
            Self::GetWaits => queue.rates.get_waiting,
            Self::Processes => queue.processes().unwrap_or(0) as f64,
        }
    }
}

impl Model {
    /// Nothing seen as yet, the details open or not.
    pub fn new(has_details: bool) -> Self {
        Self { has_details, ..Self::default() }
    }

    /// Takes in looks at all queues that are there, at `now` since some beginning.
    pub fn update(&mut self, now: Duration, looks: Vec<Look>) {
        let mut looks: BTreeMap<String, Look> =
            looks.into_iter().map(|look| (look.name.clone(), look)).collect();
        self.queues.retain(|name, queue| match looks.remove(name) {
            Some(look) => {
                queue.update(now, look);
                true
            }
            None => {
                (queue.rates, queue.participants) = Default::default();
                now.saturating_sub(*queue.gone_since.get_or_insert(now)) < GONE_FOR
            }
        });
        self.queues.extend(looks.into_iter().map(|(name, look)| (name, Queue::new(now, look))));
        if self.selected.as_ref().is_none_or(|name| !self.queues.contains_key(name)) {
            self.selected = self.sorted().first().map(|queue| queue.look.name.clone());
        }
    }

    /// The queues in the order that was asked for; of equal ones the first by name comes first.
    pub fn sorted(&self) -> Vec<&Queue> {
        let mut queues: Vec<&Queue> = self.queues.values().collect();
        match self.sort {
            SortBy::Name if self.is_reversed => queues.reverse(),
            SortBy::Name => {}
            sort => queues.sort_by(|a, b| {
                let (a, b) = (sort.value(a), sort.value(b));
                // The largest are what people look for.
                if self.is_reversed { a.total_cmp(&b) } else { b.total_cmp(&a) }
            }),
        }
        queues
    }

    pub fn selected(&self) -> Option<&Queue> {
        self.queues.get(self.selected.as_ref()?)
    }

    /// The selected queue's place in the order.
    pub fn selected_place(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.sorted().iter().position(|queue| queue.look.name == *selected)
    }

    /// Selects another queue, so many places down, or up if negative. There is no way past the ends.
    pub fn select(&mut self, down: isize) {
        let sorted = self.sorted();
        let Some(last) = sorted.len().checked_sub(1) else { return };
        let place = self.selected_place().unwrap_or(0).saturating_add_signed(down).min(last);
        self.selected = Some(sorted[place].look.name.clone());
    }
}

impl Queue {
    fn new(now: Duration, look: Look) -> Self {
        let mut queue = Self {
            depths: VecDeque::new(),
            rates: Rates::default(),
            participants: BTreeMap::new(),
            looked_at: now,
            gone_since: None,
            look,
        };
        queue.remember_depth();
        queue
    }

    fn update(&mut self, now: Duration, look: Look) {
        let id = |look: &Look| look.facts.as_ref().map(|facts| facts.id.clone());
        if id(&look) != id(&self.look) {
            *self = Self::new(now, look);
            return;
        }
        let passed = now.saturating_sub(self.looked_at).as_secs_f64();
        if let (Some(before), Some(after)) = (&self.look.content, &look.content)
            && passed > 0.0
        {
            let same = |a: &Participant, b: &Participant| {
                (a.place, a.pid, &a.attached_at) == (b.place, b.pid, &b.attached_at)
            };
            self.participants = after
                .participants
                .iter()
                .filter_map(|after| {
                    let before = before.participants.iter().find(|before| same(before, after))?;
                    Some((after.place, Rates::between(&before.counters, &after.counters, passed)))
                })
                .collect();
            self.rates = Rates::between(&before.counters, &after.counters, passed);
            let mean = |does: fn(&Totals) -> bool, share: fn(&Rates) -> f64| {
                let shares: Vec<f64> = (after.participants.iter())
                    .filter(|who| does(&who.counters))
                    .filter_map(|who| self.participants.get(&who.place).map(share))
                    .collect();
                if shares.is_empty() { 0.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
            };
            self.rates.put_waiting = mean(|did| did.puts + did.put_waits > 0, |rates| rates.put_waiting);
            self.rates.get_waiting = mean(|did| did.gets + did.get_waits > 0, |rates| rates.get_waiting);
        } else {
            (self.rates, self.participants) = Default::default();
        }
        (self.look, self.looked_at, self.gone_since) = (look, now, None);
        self.remember_depth();
    }

    fn remember_depth(&mut self) {
        if self.depths.len() == MAX_HISTORY {
            self.depths.pop_front();
        }
        self.depths.push_back(self.items());
    }

    pub fn items(&self) -> Option<usize> {
        self.look.content.as_ref().map(|content| content.items)
    }

    pub fn capacity(&self) -> Option<usize> {
        self.look.facts.as_ref().map(|facts| facts.capacity)
    }

    /// From 0 to 1.
    pub fn fill(&self) -> Option<f64> {
        Some(self.items()? as f64 / self.capacity()?.max(1) as f64)
    }

    /// Processes attached.
    pub fn processes(&self) -> Option<usize> {
        self.look.content.as_ref().map(|content| content.participants.len())
    }

    /// Bytes of the items put.
    pub fn bytes_per_second(&self) -> f64 {
        let item_bytes = self.look.facts.as_ref().map_or(0, |facts| facts.item_bytes);
        self.rates.puts_per_second * item_bytes as f64
    }

    pub fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }

    /// Whether a put into the full queue drops the oldest item.
    pub fn drops_oldest(&self) -> bool {
        self.look.facts.as_ref().is_some_and(|facts| facts.drops_oldest)
    }

    /// What people are told of its state, beside what a name can lead to.
    pub fn state_word(&self) -> &'static str {
        match &self.look.content {
            _ if self.is_gone() => "gone",
            Some(content) if content.shut_down && self.look.state == State::Live => "shut",
            _ => self.look.state.word(),
        }
    }

    /// The rates of a participant; nothing of one that has just come.
    pub fn rates_of(&self, place: u32) -> Rates {
        self.participants.get(&place).copied().unwrap_or_default()
    }
}

impl Rates {
    fn between(before: &Totals, after: &Totals, seconds: f64) -> Self {
        // A look's parts are of slightly different moments: what seems to go back stood still.
        let of = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        // A wait is counted sleep by sleep, and several threads wait at a time: a share is at most all of the time.
        let share = |before: f64, after: f64| ((after - before) / seconds).clamp(0.0, 1.0);
        Self {
            puts_per_second: of(before.puts, after.puts),
            gets_per_second: of(before.gets, after.gets),
            overwritten_per_second: of(before.overwritten, after.overwritten),
            put_waiting: share(before.put_wait_seconds, after.put_wait_seconds),
            get_waiting: share(before.get_wait_seconds, after.get_wait_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{look, participant};
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn model(looks: Vec<Vec<Look>>) -> Model {
        let mut model = Model::default();
        for (second, looks) in looks.into_iter().enumerate() {
            model.update(at(second as f64), looks);
        }
        model
    }

    fn names(model: &Model) -> Vec<&str> {
        model.sorted().iter().map(|queue| queue.look.name.as_str()).collect()
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let before = look("a", 1, 10).with(participant(0, 100, 90).waited(1.0, 0.0));
        let after = look("a", 1, 20).with(participant(0, 300, 280).waited(1.5, 0.0));
        let mut model = Model::default();
        model.update(at(0.0), vec![before.look]);
        assert_eq!(model.sorted()[0].rates, Rates::default(), "one look is no rate");
        model.update(at(2.0), vec![after.look]);
        let queue = model.sorted()[0];
        assert_eq!((queue.rates.puts_per_second, queue.rates.gets_per_second), (100.0, 95.0));
        assert_eq!(queue.bytes_per_second(), 100.0 * 1000.0);
        assert_eq!((queue.rates.put_waiting, queue.rates_of(0).put_waiting), (0.25, 0.25));
        assert_eq!(Vec::from(queue.depths.clone()), [Some(10), Some(20)]);
    }

    #[test]
    fn waits_are_the_mean_of_those_who_could_wait() {
        let first = |waited| participant(0, 10, 0).waited(waited, 0.0);
        let second = |waited| participant(1, 10, 0).waited(waited, 0.0);
        let consumer = |waited| participant(2, 0, 10).waited(0.0, waited);
        let before = look("a", 1, 0).with(first(0.0)).with(second(0.0)).with(consumer(0.0)).look;
        // Several threads of the consumer waited.
        let after = look("a", 1, 0).with(first(1.0)).with(second(0.5)).with(consumer(30.0)).look;
        let model = model(vec![vec![before], vec![after]]);
        let rates = model.sorted()[0].rates;
        assert_eq!((rates.put_waiting, rates.get_waiting), (0.75, 1.0));
    }

    #[test]
    fn another_queue_of_the_same_name_starts_anew() {
        let mut model = model(vec![vec![look("a", 1, 5).with(participant(0, 1000, 0)).look]]);
        model.update(at(1.0), vec![look("a", 2, 7).with(participant(0, 3000, 0)).look]);
        let queue = model.sorted()[0];
        assert_eq!((queue.rates, queue.depths.len()), (Rates::default(), 1));
        model.update(at(2.0), vec![look("a", 2, 7).with(participant(0, 3010, 0)).look]);
        assert_eq!(model.sorted()[0].rates.puts_per_second, 10.0);
    }

    #[test]
    fn another_participant_at_the_same_place_starts_anew() {
        let mut after = participant(0, 500, 0);
        after.pid += 1;
        let model = model(vec![
            vec![look("a", 1, 0).with(participant(0, 10, 0)).look],
            vec![look("a", 1, 0).with(after).look],
        ]);
        assert_eq!(model.sorted()[0].rates_of(0), Rates::default());
    }

    #[test]
    fn a_queue_that_is_gone_is_shown_for_a_while() {
        let mut model = model(vec![vec![look("a", 1, 5).look, look("b", 2, 5).look]]);
        let there = || vec![look("b", 2, 5).look];
        model.update(at(1.0), there());
        assert_eq!((names(&model), model.sorted()[0].state_word()), (vec!["a", "b"], "gone"));
        model.update(at(5.9), there());
        assert_eq!(names(&model), ["a", "b"]);
        model.update(at(6.1), there());
        assert_eq!(names(&model), ["b"]);
        assert_eq!(model.selected().expect("one is left").look.name, "b");
    }

    #[test]
    fn a_queue_that_comes_back_is_gone_no_more() {
        let mut model = model(vec![vec![look("a", 1, 5).look], vec![], vec![look("a", 2, 5).look]]);
        assert_eq!(model.sorted()[0].state_word(), "live");
        model.update(at(3.0), vec![]);
        assert_eq!(model.sorted()[0].state_word(), "gone");
    }

    #[test]
    fn the_order_is_what_was_asked_for() {
        let looks = || vec![look("a", 1, 5).look, look("b", 2, 50).look, look("c", 3, 5).look];
        let mut model = model(vec![looks()]);
        assert_eq!(names(&model), ["a", "b", "c"]);
        model.is_reversed = true;
        assert_eq!(names(&model), ["c", "b", "a"]);
        (model.sort, model.is_reversed) = (SortBy::Items, false);
        assert_eq!(names(&model), ["b", "a", "c"], "of equal ones the first by name comes first");
        model.is_reversed = true;
        assert_eq!(names(&model), ["a", "c", "b"]);
    }

    #[test]
    fn the_sort_goes_through_all_columns() {
        let mut sort = SortBy::default();
        for expected in SortBy::ALL.iter().cycle().skip(1).take(SortBy::ALL.len()) {
            sort = sort.next();
            assert_eq!(sort, *expected);
        }
        assert_eq!(sort, SortBy::default());
    }

    #[test]
    fn the_selection_follows_its_queue_and_stops_at_the_ends() {
        let mut model = model(vec![vec![look("a", 1, 1).look, look("b", 2, 2).look, look("c", 3, 3).look]]);
        assert_eq!(model.selected_place(), Some(0));
        model.select(1);
        model.sort = SortBy::Items;
        assert_eq!(model.selected().expect("b").look.name, "b");
        model.select(10);
        assert_eq!(model.selected_place(), Some(2));
        model.select(-10);
        assert_eq!(model.selected_place(), Some(0));
        let mut nothing = Model::default();
        nothing.select(1);
        assert_eq!(nothing.selected_place(), None);
    }

    #[test]
    fn history_is_bounded() {
        let mut model = Model::default();
        for second in 0..2 * MAX_HISTORY {
            model.update(at(second as f64), vec![look("a", 1, second % 60).look]);
        }
        assert_eq!(model.sorted()[0].depths.len(), MAX_HISTORY);
    }
}
