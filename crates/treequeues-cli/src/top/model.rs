//! What `top` knows: queues and topics over time, their rates, and what the user has chosen. It draws nothing and asks nobody.
//!
//! Each is known by its segment's id: another one under the same name starts anew. One that is gone stays for
//! `GONE_FOR`, so that people see it go. Rates are those between the last two looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::look::{Content, Facts, Kind, Look, Participant, State, Subscription, Totals};

/// Depths that are kept: more than the widest screen shows.
const MAX_HISTORY: usize = 512;
/// How long a queue that is gone is still shown.
const GONE_FOR: Duration = Duration::from_secs(5);

/// All of it.
#[derive(Debug, Default)]
pub struct Model {
    watched: BTreeMap<String, Watched>,
    pub sort: SortBy,
    /// Against the column's own direction.
    pub is_reversed: bool,
    /// The selected one's name: it stays selected wherever it is sorted to.
    selected: Option<String>,
    pub has_details: bool,
    pub has_help: bool,
    /// Why the last look failed.
    pub trouble: Option<String>,
}

/// A queue or a topic over time.
#[derive(Debug)]
pub struct Watched {
    pub look: Look,
    /// How much of it was in use at each look, as `depth`, the newest last; none where it could not be looked into.
    pub depths: VecDeque<Option<usize>>,
    pub rates: Rates,
    /// By place in the table of participants.
    participants: BTreeMap<u32, Rates>,
    /// Items that each subscription misses a second, by its number.
    subscriptions: BTreeMap<usize, f64>,
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
    /// Items of a topic that its subscriptions passed over.
    pub missed_per_second: f64,
    /// Share of the time that producers waited for room: of all, the mean of those who put.
    pub put_waiting: f64,
    /// Share of the time that consumers waited for items: of all, the mean of those who get.
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
    fn value(self, watched: &Watched) -> f64 {
        match self {
            Self::Name => 0.0,
            Self::Items => watched.items().unwrap_or(0) as f64,
            Self::Full => watched.fill().unwrap_or(0.0),
            Self::Puts => watched.rates.puts_per_second,
            Self::Gets => watched.rates.gets_per_second,
            Self::Bytes => watched.bytes_per_second(),
            Self::PutWaits => watched.rates.put_waiting,
            Self::GetWaits => watched.rates.get_waiting,
            Self::Processes => watched.processes().unwrap_or(0) as f64,
        }
    }
}

impl Model {
    /// Nothing seen as yet, the details open or not.
    pub fn new(has_details: bool) -> Self {
        Self { has_details, ..Self::default() }
    }

    /// Takes in looks at all that are there, at `now` since some beginning.
    pub fn update(&mut self, now: Duration, looks: Vec<Look>) {
        let mut looks: BTreeMap<String, Look> =
            looks.into_iter().map(|look| (look.name.clone(), look)).collect();
        self.watched.retain(|name, watched| match looks.remove(name) {
            Some(look) => {
                watched.update(now, look);
                true
            }
            None => {
                watched.forget_rates();
                now.saturating_sub(*watched.gone_since.get_or_insert(now)) < GONE_FOR
            }
        });
        self.watched.extend(looks.into_iter().map(|(name, look)| (name, Watched::new(now, look))));
        if self.selected.as_ref().is_none_or(|name| !self.watched.contains_key(name)) {
            self.selected = self.sorted().first().map(|watched| watched.look.name.clone());
        }
    }

    /// All in the order that was asked for; of equal ones the first by name comes first.
    pub fn sorted(&self) -> Vec<&Watched> {
        let mut all: Vec<&Watched> = self.watched.values().collect();
        match self.sort {
            SortBy::Name if self.is_reversed => all.reverse(),
            SortBy::Name => {}
            sort => all.sort_by(|a, b| {
                let (a, b) = (sort.value(a), sort.value(b));
                // The largest are what people look for.
                if self.is_reversed { a.total_cmp(&b) } else { b.total_cmp(&a) }
            }),
        }
        all
    }

    pub fn selected(&self) -> Option<&Watched> {
        self.watched.get(self.selected.as_ref()?)
    }

    /// The selected one's place in the order.
    pub fn selected_place(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.sorted().iter().position(|watched| watched.look.name == *selected)
    }

    /// Selects another one, so many places down, or up if negative. There is no way past the ends.
    pub fn select(&mut self, down: isize) {
        let sorted = self.sorted();
        let Some(last) = sorted.len().checked_sub(1) else { return };
        let place = self.selected_place().unwrap_or(0).saturating_add_signed(down).min(last);
        self.selected = Some(sorted[place].look.name.clone());
    }
}

impl Watched {
    fn new(now: Duration, look: Look) -> Self {
        let mut watched = Self {
            depths: VecDeque::new(),
            rates: Rates::default(),
            participants: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            looked_at: now,
            gone_since: None,
            look,
        };
        watched.remember_depth();
        watched
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
            self.subscriptions = after
                .subscriptions()
                .iter()
                .filter_map(|after| {
                    let of = |it: &Subscription| (it.number, it.participant, it.pid);
                    let before = before.subscriptions().iter().find(|before| of(before) == of(after))?;
                    // Another one that has its number by now has missed less, perhaps.
                    Some((after.number, after.missed.saturating_sub(before.missed) as f64 / passed))
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
            self.forget_rates();
        }
        (self.look, self.looked_at, self.gone_since) = (look, now, None);
        self.remember_depth();
    }

    fn remember_depth(&mut self) {
        if self.depths.len() == MAX_HISTORY {
            self.depths.pop_front();
        }
        self.depths.push_back(self.depth());
    }

    fn forget_rates(&mut self) {
        (self.rates, self.participants, self.subscriptions) = Default::default();
    }

    /// How much of the capacity is in use: of a queue its items, of a topic the slots that somebody has.
    pub fn depth(&self) -> Option<usize> {
        self.look.content.as_ref().map(|content| content.depth)
    }

    pub fn items(&self) -> Option<usize> {
        self.look.content.as_ref().map(|content| content.items)
    }

    pub fn capacity(&self) -> Option<usize> {
        self.look.facts.as_ref().map(|facts| facts.capacity)
    }

    /// From 0 to 1.
    pub fn fill(&self) -> Option<f64> {
        Some(self.depth()? as f64 / self.capacity()?.max(1) as f64)
    }

    /// Processes attached.
    pub fn processes(&self) -> Option<usize> {
        self.look.content.as_ref().map(|content| content.participants.len())
    }

    /// The ticket of a topic's newest item.
    pub fn version(&self) -> Option<u64> {
        self.look.content.as_ref().and_then(Content::version)
    }

    /// How far the last of a topic's subscriptions is behind.
    pub fn most_lag(&self) -> Option<u64> {
        self.look.content.as_ref().and_then(Content::most_lag)
    }

    /// How many subscriptions a topic has.
    pub fn subscriptions(&self) -> Option<usize> {
        self.is_topic().then(|| self.look.content.as_ref().map(|content| content.subscriptions().len()))?
    }

    pub fn is_topic(&self) -> bool {
        self.look.kind == Some(Kind::Topic)
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
        self.look.facts.as_ref().is_some_and(Facts::drops_oldest)
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

    /// Items that a subscription misses a second; none of one that has just come.
    pub fn missed_per_second(&self, subscription: usize) -> f64 {
        self.subscriptions.get(&subscription).copied().unwrap_or_default()
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
            missed_per_second: of(before.missed, after.missed),
            put_waiting: share(before.put_wait_seconds, after.put_wait_seconds),
            get_waiting: share(before.get_wait_seconds, after.get_wait_seconds),
        }
    }
}

#[cfg(test)]
mod tests;
