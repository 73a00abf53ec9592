//! What is counted of topics.

use std::time::Instant;

use serde::Serialize;

use super::epoch::Outcome;
use crate::findings::{Finding, Kind};
use crate::report::Counted;

/// All counts of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Topics that were made, worked on, and checked.
    pub epochs: usize,
    /// Workers that were started.
    pub lives: usize,
    /// Items published.
    pub puts: usize,
    /// Items read, each time.
    pub reads: usize,
    /// Items that subscriptions passed over.
    pub missed: u64,
    /// Puts that found every slot in use, of topics with few slots.
    pub refused: usize,
    /// Processes killed.
    pub kills: usize,
    /// Of these, processes that published.
    pub publishers_killed: usize,
    /// Of these, processes that only read.
    pub readers_killed: usize,
    /// Of these, processes that only looked for the dead.
    pub sweepers_killed: usize,
    /// Of all, within a call or while they held something.
    pub cut_off: usize,
    /// Times at which everybody was killed at once.
    pub massacres: usize,
    /// Processes stopped, and continued or killed.
    pub stops: usize,
    /// Items of publishers that were killed before they could say so.
    pub by_the_dead: usize,
    /// Items that were not whole.
    pub torn: usize,
    /// Reads of an older item than the newest, or of none.
    pub stale: usize,
    /// Items that were published and were lost before a newer one came.
    pub lost_newest: usize,
    /// Counts of what subscriptions had missed that were wrong.
    pub wrong_missed: usize,
    /// Puts that were refused or waited, where there were slots enough.
    pub held_up: usize,
    /// Processes that did not go on.
    pub hangs: usize,
    /// Tickets in another order than the puts, or two for one item, or items that nobody had put.
    pub order_violations: usize,
    /// Slots or places that were missing in the end, and workers that failed.
    pub other_findings: usize,
}

impl Counted for Totals {
    type Outcome = Outcome;

    fn add(&mut self, outcome: &Outcome) {
        let Outcome { counts, deeds, findings } = outcome;
        self.epochs += 1;
        self.lives += deeds.lives;
        self.kills += deeds.kills;
        self.massacres += deeds.massacres;
        self.stops += deeds.stops;
        self.puts += counts.puts;
        self.reads += counts.reads;
        self.missed += counts.missed;
        self.refused += counts.refused;
        self.publishers_killed += counts.publishers_killed;
        self.readers_killed += counts.readers_killed;
        self.sweepers_killed += counts.sweepers_killed;
        self.cut_off += counts.cut_off;
        self.by_the_dead += counts.by_the_dead;
        for finding in findings {
            *match finding.kind {
                Kind::Torn => &mut self.torn,
                Kind::Stale | Kind::Empty => &mut self.stale,
                Kind::Lost => &mut self.lost_newest,
                Kind::Missed => &mut self.wrong_missed,
                Kind::HeldUp => &mut self.held_up,
                Kind::Hang => &mut self.hangs,
                Kind::Order | Kind::Duplicate | Kind::Phantom => &mut self.order_violations,
                Kind::Capacity | Kind::Failure => &mut self.other_findings,
            } += 1;
        }
    }

    fn findings(outcome: &Outcome) -> &[Finding] {
        &outcome.findings
    }

    fn kills(&self) -> usize {
        self.kills
    }

    fn line(&self, began: Instant) -> String {
        format!(
            "{:>6.0} s  epoch {:>5}  puts {:>9}  reads {:>9}  missed {:>9}  kills {:>7} ({:>7} in a call)  stops {:>6}  \
             torn {}  stale {}  lost newest {}  wrong missed {}  held up {}  hangs {}  order {}  other {}",
            began.elapsed().as_secs_f64(),
            self.epochs,
            self.puts,
            self.reads,
            self.missed,
            self.kills,
            self.cut_off,
            self.stops,
            self.torn,
            self.stale,
            self.lost_newest,
            self.wrong_missed,
            self.held_up,
            self.hangs,
            self.order_violations,
            self.other_findings,
        )
    }
}
