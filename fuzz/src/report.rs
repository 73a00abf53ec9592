//! What is said while it runs, and the record that is left.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::epoch::Outcome;
use crate::findings::{Finding, Kind};
use crate::site::Site;

/// All counts of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Queues that were made, worked on, and checked.
    pub epochs: usize,
    /// Workers that were started.
    pub lives: usize,
    /// Items put.
    pub puts: usize,
    /// Items taken, each time.
    pub takes: usize,
    /// Processes killed.
    pub kills: usize,
    /// Of these, within a call or while they held something.
    pub cut_off: usize,
    /// Times at which everybody was killed at once.
    pub massacres: usize,
    /// Processes stopped, and continued or killed.
    pub stops: usize,
    /// Items that came again.
    pub redelivered: usize,
    /// Items that a killed process had, and could not say so.
    pub with_the_dead: usize,
    /// Items overtaken while somebody held them without a receipt.
    pub explained: usize,
    /// Processes that did not go on.
    pub hangs: usize,
    /// Items that did not come.
    pub lost: usize,
    /// Items that came again, and should not have, or that nobody had put.
    pub duplicates: usize,
    /// Items that came in the wrong order, and takes that found nothing where something was.
    pub order_violations: usize,
    /// Slots or places that were missing in the end, and workers that failed.
    pub other_findings: usize,
}

/// What a run leaves.
#[derive(Debug, Serialize)]
pub struct Record<'r, T> {
    /// Where, when, and of what.
    #[serde(flatten)]
    pub site: Site,
    /// Python's version, where it took part.
    pub python: Option<String>,
    /// What all was drawn from.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// How often it killed.
    pub kills_per_second: f64,
    /// What came of it.
    #[serde(flatten)]
    pub totals: &'r T,
}

/// What is counted over all epochs of a run.
pub trait Counted: Default + Serialize {
    /// What one epoch comes to.
    type Outcome;

    /// Adds an epoch.
    fn add(&mut self, outcome: &Self::Outcome);

    /// What must not be, of that.
    fn findings(outcome: &Self::Outcome) -> &[Finding];

    /// Processes killed.
    fn kills(&self) -> usize;

    /// One line.
    fn line(&self, began: Instant) -> String;
}

impl Counted for Totals {
    type Outcome = Outcome;

    fn findings(outcome: &Outcome) -> &[Finding] {
        &outcome.findings
    }

    fn kills(&self) -> usize {
        self.kills
    }

    fn add(&mut self, outcome: &Outcome) {
        self.epochs += 1;
        self.lives += outcome.deeds.lives;
        self.kills += outcome.deeds.kills;
        self.massacres += outcome.deeds.massacres;
        self.stops += outcome.deeds.stops;
        self.cut_off += outcome.counts.cut_off;
        self.puts += outcome.counts.puts;
        self.takes += outcome.counts.takes;
        self.redelivered += outcome.counts.redelivered;
        self.with_the_dead += outcome.counts.with_the_dead;
        self.explained += outcome.counts.explained;
        for finding in &outcome.findings {
            *match finding.kind {
                Kind::Hang => &mut self.hangs,
                Kind::Lost => &mut self.lost,
                Kind::Duplicate | Kind::Phantom => &mut self.duplicates,
                Kind::Order | Kind::Empty => &mut self.order_violations,
                _ => &mut self.other_findings,
            } += 1;
        }
    }

    fn line(&self, began: Instant) -> String {
        format!(
            "{:>6.0} s  epoch {:>5}  puts {:>9}  takes {:>9}  kills {:>7} ({:>7} in a call)  stops {:>6}  redelivered {:>6}  \
             with the dead {:>5}  explained {:>5}  hangs {}  lost {}  duplicates {}  order {}  other {}",
            began.elapsed().as_secs_f64(),
            self.epochs,
            self.puts,
            self.takes,
            self.kills,
            self.cut_off,
            self.stops,
            self.redelivered,
            self.with_the_dead,
            self.explained,
            self.hangs,
            self.lost,
            self.duplicates,
            self.order_violations,
            self.other_findings,
        )
    }
}

impl<'r, T: Counted> Record<'r, T> {
    /// Of a run that took so long.
    pub fn new(totals: &'r T, site: Site, seed: u64, took: Duration, python: Option<String>) -> Self {
        Self {
            site,
            python,
            seed,
            seconds: took.as_secs_f64().round(),
            kills_per_second: (totals.kills() as f64 / took.as_secs_f64()).round(),
            totals,
        }
    }

    /// Writes it as JSON.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }
}
