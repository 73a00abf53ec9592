//! The tree that tells where RETURNED items are: words of bits, each with a version, the root on top.
//!
//! Level 0 is the root, the last level has a bit for each slot. The real tree has 32 bits in each word; here each level has its
//! own number, so that few slots make several levels.
//!
//! Q1. A slot that is RETURNED has its bit in each level, and whoever makes it so sets them before, from the last level up to
//!     the root, also those that are set already.
//! Q2. Each setting moves the version of its word. After the slot is RETURNED the root's version moves once more.
//! Q3. A bit is taken away by a CAS from a word that was loaded before what it stands for was seen to need none, or by
//!     the holder of the slot.

use crate::memory::{MAX_CAPACITY, Memory, Phase, Ticket};
use crate::protocol::Protocol;
use crate::steps::Pc;

pub const MAX_LEVELS: usize = 3;

/// One word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bits {
    pub bits: u8,
    pub version: u8,
}

impl Bits {
    /// After each step the model renumbers the version of each word to this, and each version that a process remembers to
    /// this or, if it is no longer the current one, to [`Bits::OLD`]. The real versions do not come back while anybody
    /// remembers them, so this loses nothing, and it keeps the states finite.
    pub const NOW: u8 = 1;
    pub const OLD: u8 = 0;

    const NONE: Bits = Bits { bits: 0, version: Bits::NOW };
}

/// All words, by level.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tree {
    words: [[Bits; MAX_CAPACITY]; MAX_LEVELS],
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = |word: &Bits| format!("{:b}", word.bits);
        let levels = self.words.map(|level| level.each_ref().map(bits).join(" "));
        write!(f, "{} / {} / {}", self.words[0][0].bits, levels[1], levels[2])
    }
}

impl Tree {
    pub const EMPTY: Tree = Tree { words: [[Bits::NONE; MAX_CAPACITY]; MAX_LEVELS] };

    pub fn root(&self) -> Bits {
        self.words[0][0]
    }

    pub fn bump_root(&mut self) {
        self.words[0][0].version += 1;
    }

    /// See [`Bits::NOW`].
    pub fn settle(&mut self) {
        for word in self.words.iter_mut().flatten() {
            word.version = Bits::NOW;
        }
    }
}

/// How many slots one bit stands for, by level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    spans: [u8; MAX_LEVELS],
    pub levels: u8,
}

impl Shape {
    /// `fans` says how many bits the words below the root have, from the last level up.
    pub fn new(fans: &[u8]) -> Shape {
        let mut spans = [1; MAX_LEVELS];
        let levels = fans.len() + 1;
        for level in (0..levels - 1).rev() {
            spans[level] = spans[level + 1] * fans[levels - 2 - level];
        }
        Shape { spans, levels: levels as u8 }
    }

    pub fn last(self) -> u8 {
        self.levels - 1
    }

    fn span(self, level: u8) -> u8 {
        self.spans[usize::from(level)]
    }

    /// Which word of the level has the bit of slot `s`.
    fn word(self, level: u8, s: u8) -> usize {
        if level == 0 { 0 } else { usize::from(s / self.span(level - 1)) }
    }

    /// The first slot of that word.
    fn first(self, level: u8, s: u8) -> u8 {
        if level == 0 { 0 } else { s / self.span(level - 1) * self.span(level - 1) }
    }

    fn bit(self, level: u8, s: u8) -> u8 {
        1 << ((s - self.first(level, s)) / self.span(level))
    }

    pub fn at(self, tree: &Tree, level: u8, s: u8) -> Bits {
        tree.words[usize::from(level)][self.word(level, s)]
    }

    fn at_mut(self, tree: &mut Tree, level: u8, s: u8) -> &mut Bits {
        &mut tree.words[usize::from(level)][self.word(level, s)]
    }

    /// Whether slot `s` has all its bits (Q1).
    pub fn has_bits(self, tree: &Tree, s: u8) -> bool {
        (0..self.levels).all(|level| self.at(tree, level, s).bits & self.bit(level, s) != 0)
    }
}

/// The root that a get goes by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Look {
    pub version: u8,
    /// Whether the call has looked itself; else it has what an earlier one found.
    pub fresh: bool,
    /// Whether the look only counts, for a batch.
    pub counts: bool,
}

/// The tickets that a look has found, lowest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Found {
    // Zero past `len`, so that equal lists are equal states.
    tickets: [Ticket; MAX_CAPACITY],
    pub len: u8,
}

impl Found {
    fn push(&mut self, ticket: Ticket, is_sorted: bool) {
        let len = usize::from(self.len);
        let lower = self.tickets[..len].iter().take_while(|other| **other < ticket).count();
        let place = if is_sorted { lower } else { len };
        self.tickets[len] = ticket;
        self.tickets[place..=len].rotate_right(1);
        self.len += 1;
    }

    pub fn has(self, ticket: Ticket) -> bool {
        self.tickets[..usize::from(self.len)].contains(&ticket)
    }

    fn first(self) -> Ticket {
        self.tickets[0]
    }

    fn rest(mut self) -> Found {
        let len = usize::from(self.len);
        self.tickets[0] = 0;
        self.tickets[..len].rotate_left(1);
        self.len -= 1;
        self
    }
}

/// A look under way: the words on the way from the root down, as they were loaded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Path {
    words: [Bits; MAX_LEVELS],
}

impl Path {
    fn from_root(root: Bits) -> Path {
        let mut words = [Bits { bits: 0, version: Bits::OLD }; MAX_LEVELS];
        words[0] = root;
        Path { words }
    }

    /// Forgets the words below a level, so that equal looks are equal states.
    fn down_to(mut self, level: u8) -> Path {
        self.words[usize::from(level) + 1..].fill(Bits { bits: 0, version: Bits::OLD });
        self
    }

    fn renumber(&mut self, shape: Shape, tree: &Tree, level: u8, s: u8) {
        for level in 0..=level {
            let word = &mut self.words[usize::from(level)];
            word.version = renumbered(word.version, shape.at(tree, level, s).version);
        }
    }
}

/// See [`Bits::NOW`].
pub fn renumbered(remembered: u8, current: u8) -> u8 {
    if remembered == current { Bits::NOW } else { Bits::OLD }
}

impl Pc {
    /// Renumbers the versions that are remembered, see [`Bits::NOW`].
    pub fn renumber(&mut self, shape: Shape, tree: &Tree) {
        let root = tree.root().version;
        match self {
            Pc::T1 { path, look, level, s, .. } => {
                path.renumber(shape, tree, *level - 1, *s);
                look.version = renumbered(look.version, root);
            }
            Pc::T4 { path, look, level, s, .. } => {
                path.renumber(shape, tree, *level, *s);
                look.version = renumbered(look.version, root);
            }
            Pc::T2 { path, look, s, .. }
            | Pc::T2Ticket { path, look, s, .. }
            | Pc::T3 { path, look, s, .. } => {
                path.renumber(shape, tree, shape.last(), *s);
                look.version = renumbered(look.version, root);
            }
            Pc::T5 { look, .. }
            | Pc::T6Word { look, .. }
            | Pc::T6Ticket { look, .. }
            | Pc::T6 { look, .. }
            | Pc::T7 { look, .. }
            | Pc::B2Tail { look }
            | Pc::BJ { look, .. }
            | Pc::B2 { look, .. }
            | Pc::B3 { look, .. }
            | Pc::B3Pass { look, .. }
            | Pc::B3Version { look, .. }
            | Pc::B6 { look, .. }
            | Pc::NTail { look, .. }
            | Pc::N { look, .. }
            | Pc::NTicket { look, .. }
            | Pc::NVersion { look } => look.version = renumbered(look.version, root),
            _ => {}
        }
    }
}

impl Pc {
    /// The same of the version of what is freed.
    pub fn renumber_frees(&mut self, current: u8) {
        match self {
            Pc::RT { frees, .. } | Pc::RF { frees, .. } => {
                frees.version = renumbered(frees.version, current);
            }
            Pc::R1 { end, .. } | Pc::R6 { end, .. } => {
                end.frees.version = renumbered(end.frees.version, current);
            }
            _ => {}
        }
    }
}

impl Protocol {
    /// One of the settings before a slot becomes RETURNED, the first one being number 0; whether it was the last.
    pub fn raise(&self, m: &mut Memory, s: u8, number: u8) -> bool {
        let (shape, mutation) = (self.shape, self.mutation);
        let level = match number {
            number if mutation.root_before_leaf => number,
            1 if mutation.middle_after_root && shape.levels == 3 => 0,
            2 if mutation.middle_after_root && shape.levels == 3 => 1,
            number => shape.last() - number,
        };
        let leaf = shape.at(&m.tree, shape.last(), s).bits;
        let is_left_out = mutation.raises_after
            || mutation.skips_what_is_set && shape.at(&m.tree, level, s).bits & shape.bit(level, s) != 0
            || mutation.skips_the_rest_of_a_word
                && level < shape.last()
                && leaf != shape.bit(shape.last(), s);
        if !is_left_out {
            let word = shape.at_mut(&mut m.tree, level, s);
            word.bits |= shape.bit(level, s);
            word.version += 1;
        }
        number == shape.last()
    }

    /// What follows when slot `s` is RETURNED.
    pub fn raise_again(&self, m: &mut Memory, s: u8) {
        if self.mutation.raises_after {
            for level in (0..self.shape.levels).rev() {
                let word = self.shape.at_mut(&mut m.tree, level, s);
                word.bits |= self.shape.bit(level, s);
                word.version += 1;
            }
        }
        m.tree.bump_root();
    }

    /// B1: loads the root.
    pub fn begin_look(&self, m: &Memory, counts: bool) -> Pc {
        let root = m.tree.root();
        let look = Look { version: root.version, fresh: true, counts };
        self.go_on(Path::from_root(root), look, (0, 0, 0), 0, Found::default())
    }

    /// The next bit of a word that is loaded, at `at.0` the level, with slot `at.1` in it, from slot `at.2` on; `clear`: its bits
    /// that stand for nothing.
    fn go_on(&self, path: Path, look: Look, at: (u8, u8, u8), clear: u8, found: Found) -> Pc {
        let (shape, (level, s, from)) = (self.shape, at);
        let first = shape.first(level, s);
        let end = if level == 0 { self.capacity } else { first + shape.span(level - 1) };
        let bits = path.words[usize::from(level)].bits;
        let next = (from..end.min(self.capacity))
            .step_by(usize::from(shape.span(level)))
            .find(|s| bits & shape.bit(level, *s) != 0);
        let path = path.down_to(level);
        match next {
            Some(s) if level == shape.last() => Pc::T2 { path, look, s, clear, found },
            Some(s) => Pc::T1 { path, look, level: level + 1, s, found },
            None if clear != 0 => Pc::T3 { path, look, s: first, clear, found },
            None => self.leave(path, look, level, first, found),
        }
    }

    /// The word at `level` whose first slot is `first` is done with.
    fn leave(&self, path: Path, look: Look, level: u8, first: u8, found: Found) -> Pc {
        if level == 0 {
            return match found.len {
                _ if look.counts => Pc::NTail { look, found },
                0 => Pc::B2Tail { look },
                _ => Pc::T5 { look, found },
            };
        }
        if path.words[usize::from(level)].bits == 0 {
            return Pc::T4 { path: path.down_to(level - 1), look, level: level - 1, s: first, found };
        }
        self.go_on(path, look, (level - 1, first, first + self.shape.span(level - 1)), 0, found)
    }

    pub fn borrow_returned(&self, m: &mut Memory, me: crate::memory::Owner, pc: Pc) -> Pc {
        let (shape, mutation) = (self.shape, self.mutation);
        match pc {
            Pc::B1 => self.begin_look(m, false),
            Pc::T1 { mut path, look, level, s, found } => {
                path.words[usize::from(level)] = shape.at(&m.tree, level, s);
                self.go_on(path, look, (level, s, shape.first(level, s)), 0, found)
            }
            Pc::T2 { path, look, s, clear, found } => {
                let w = m.slots[usize::from(s)].word;
                let clear = match w.phase {
                    Phase::Returned => return Pc::T2Ticket { path, look, s, clear, found },
                    Phase::Free | Phase::Writing | Phase::Lingering => clear | shape.bit(shape.last(), s),
                    Phase::Ready if mutation.clears_ready => clear | shape.bit(shape.last(), s),
                    Phase::Reading if mutation.clears_reading => clear | shape.bit(shape.last(), s),
                    Phase::Late if mutation.clears_late => clear | shape.bit(shape.last(), s),
                    _ => clear,
                };
                self.go_on(path, look, (shape.last(), s, s + 1), clear, found)
            }
            Pc::T2Ticket { path, look, s, clear, mut found } => {
                found.push(m.slots[usize::from(s)].ticket, !mutation.any_returned);
                self.go_on(path, look, (shape.last(), s, s + 1), clear, found)
            }
            Pc::T3 { mut path, look, s, clear, found } => {
                let level = shape.last();
                self.clear(m, &mut path, (level, s), clear, mutation.last_level_without_version);
                self.leave(path, look, level, s, found)
            }
            Pc::T4 { mut path, look, level, s, found } => {
                let without_version =
                    if level == 0 { mutation.root_without_version } else { mutation.middle_without_version };
                let bit = shape.bit(level, s);
                self.clear(m, &mut path, (level, s), bit, without_version);
                self.go_on(path, look, (level, s, s + shape.span(level)), 0, found)
            }
            Pc::T5 { look, found } => {
                if m.tree.root().version == look.version || mutation.no_version_before_taking_returned {
                    Pc::T6Word { look, found }
                } else {
                    Pc::B1
                }
            }
            Pc::T6Word { look, found } => {
                let w = m.slots[self.slot(found.first())].word;
                if w.phase == Phase::Returned {
                    Pc::T6Ticket { look, found, w }
                } else {
                    Protocol::next_found(look, found)
                }
            }
            Pc::T6Ticket { look, found, w } => {
                let is_the_same = m.slots[self.slot(found.first())].ticket == found.first();
                // No path was found on which it is another's and can be had: it costs nothing to be sure.
                if is_the_same { Pc::T6 { look, found, w } } else { Protocol::next_found(look, found) }
            }
            Pc::T6 { look, found, w } => {
                let s = self.slot(found.first());
                let to = crate::memory::Word::new(Phase::Reading, me, w.reach);
                if self.cas(m, s, w, to) {
                    Pc::T7 { s: s as u8, look, rest: found.rest() }
                } else {
                    // Burned, or gone.
                    Pc::T6Word { look, found }
                }
            }
            Pc::T7 { s, .. } => {
                shape.at_mut(&mut m.tree, shape.last(), s).bits &= !shape.bit(shape.last(), s);
                self.taken(s)
            }
            _ => unreachable!(),
        }
    }

    /// The first item of the list is not to be had.
    fn next_found(look: Look, found: Found) -> Pc {
        match found.rest() {
            rest if rest.len > 0 => Pc::T6Word { look, found: rest },
            _ => Pc::B1,
        }
    }

    /// CAS of the word at `at.0` the level, with slot `at.1` in it, without some bits.
    fn clear(&self, m: &mut Memory, path: &mut Path, at: (u8, u8), bits: u8, without_version: bool) {
        let (level, s) = at;
        let word = self.shape.at_mut(&mut m.tree, level, s);
        let remembered = &mut path.words[usize::from(level)];
        let is_same = word.bits == remembered.bits && (word.version == remembered.version || without_version);
        if is_same || self.mutation.clears_any_version {
            word.bits &= !bits;
            remembered.bits &= !bits;
        }
    }
}
