//! The killer: who is killed, stopped and continued, and when. It also replaces the dead, and sees whether everybody goes on.
//!
//! A kill is sent, and noticed when the process has ended; meanwhile others are killed. The dead are replaced one by one, but after a
//! massacre only once all are dead, so that for a moment nobody lives but this process.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::findings::Kind;
use crate::lives::{Living, Stage};
use crate::plan::{EPOCH, Killing};
use crate::system::{now_ns, wait_for_ends};

/// A worker that is not stopped and whose calls do not return for so long hangs: each of its waits is a small part of that.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks for those that hang.
const LOOK: Duration = Duration::from_millis(500);
/// The longest stop.
const MAX_STOP_MS: u64 = 300;

/// A worker, as the killer sees it.
struct Subject {
    living: Living,
    /// When it was sent SIGKILL.
    killed_at: Option<u64>,
    /// When it is to go on.
    stopped_until: Option<Instant>,
    /// How many of its calls had returned, and since when it is that many.
    calls: u64,
    since: Instant,
}

/// One epoch's killer.
pub struct Killer {
    rng: Rng,
    plan: Killing,
    subjects: Vec<Subject>,
    /// Places to be filled once all are dead.
    waiting: Vec<usize>,
    is_massacre: bool,
    next_look: Instant,
}

impl Killer {
    /// For an epoch of this plan.
    pub fn new(plan: Killing) -> Self {
        Self {
            rng: Rng::with_seed(plan.seed.rotate_left(32)),
            plan,
            subjects: Vec::new(),
            waiting: Vec::new(),
            is_massacre: false,
            next_look: Instant::now() + LOOK,
        }
    }

    /// Kills until the epoch is over; then lets everybody leave, or kills all. Whether all have ended.
    pub fn run<'f>(mut self, epoch: &mut impl Stage<'f>) -> io::Result<bool> {
        for place in 0..self.plan.workers {
            self.start(epoch, place)?;
        }
        let end = Instant::now() + EPOCH;
        let mut next_deed = Instant::now() + self.until_next_deed();
        while Instant::now() < end && epoch.lives().findings.is_empty() {
            self.see_who_ended(epoch, next_deed.saturating_duration_since(Instant::now()), true)?;
            self.continue_the_stopped();
            if Instant::now() >= next_deed {
                self.do_a_deed(epoch);
                next_deed = Instant::now() + self.until_next_deed();
            }
            self.look_for_hangs(epoch);
        }
        self.end(epoch)
    }

    /// Waits until all have ended.
    fn end<'f>(mut self, epoch: &mut impl Stage<'f>) -> io::Result<bool> {
        self.subjects.iter().for_each(|subject| subject.living.process.signal(Signal::CONT));
        self.subjects
            .iter_mut()
            .for_each(|subject| (subject.stopped_until, subject.since) = (None, Instant::now()));
        epoch.lives().tell_all_to_leave();
        if self.plan.ends_in_massacre {
            self.kill_all();
        }
        while !self.subjects.is_empty() {
            self.see_who_ended(epoch, LOOK, false)?;
            self.look_for_hangs(epoch);
            if epoch.lives().findings.iter().any(|finding| finding.kind == Kind::Hang) {
                self.kill_all();
                while !self.subjects.is_empty() && self.subjects[0].living.process.has_ended(PATIENCE) {
                    self.see_who_ended(epoch, Duration::ZERO, false)?;
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start<'f>(&mut self, epoch: &mut impl Stage<'f>, place: usize) -> io::Result<()> {
        let living = epoch.start(place)?;
        let since = Instant::now();
        self.subjects.push(Subject { living, killed_at: None, stopped_until: None, calls: 0, since });
        Ok(())
    }

    /// Buries those who have ended, and replaces them.
    fn see_who_ended<'f>(
        &mut self,
        epoch: &mut impl Stage<'f>,
        at_most: Duration,
        is_replaced: bool,
    ) -> io::Result<()> {
        let processes = self.subjects.iter().map(|subject| &subject.living.process);
        let ended = wait_for_ends(processes, at_most);
        for index in ended.into_iter().rev() {
            let subject = self.subjects.swap_remove(index);
            epoch.lives().bury(&subject.living, subject.killed_at)?;
            self.waiting.push(subject.living.place);
        }
        self.is_massacre &= !self.subjects.is_empty();
        if is_replaced && !self.is_massacre {
            for place in std::mem::take(&mut self.waiting) {
                self.start(epoch, place)?;
            }
        }
        Ok(())
    }

    fn continue_the_stopped(&mut self) {
        let now = Instant::now();
        for subject in &mut self.subjects {
            if subject.stopped_until.is_some_and(|until| until <= now) {
                subject.living.process.signal(Signal::CONT);
                (subject.stopped_until, subject.since) = (None, now);
            }
        }
    }

    fn do_a_deed<'f>(&mut self, epoch: &mut impl Stage<'f>) {
        if self.rng.u32(..1000) < self.plan.massacre {
            epoch.lives().deeds.massacres += 1;
            return self.kill_all();
        }
        let stops = self.rng.u32(..100) < self.plan.stop;
        let targets: Vec<usize> = (0..self.subjects.len())
            // Who has not begun yet holds nothing: such kills would only be many.
            .filter(|index| self.subjects[*index].living.log.has_begun())
            .filter(|index| self.subjects[*index].killed_at.is_none())
            .filter(|index| !stops || self.subjects[*index].stopped_until.is_none())
            .collect();
        let Some(target) = self.rng.choice(targets) else { return };
        if stops {
            let time = Duration::from_micros(self.rng.u64(..MAX_STOP_MS * 1000));
            let subject = &mut self.subjects[target];
            subject.living.process.signal(Signal::STOP);
            subject.stopped_until = Some(Instant::now() + time);
            epoch.lives().deeds.stops += 1;
        } else {
            self.subjects[target].kill();
        }
    }

    fn kill_all(&mut self) {
        self.is_massacre = true;
        self.subjects.iter_mut().filter(|subject| subject.killed_at.is_none()).for_each(Subject::kill);
    }

    /// Finds those who neither go on nor end.
    fn look_for_hangs<'f>(&mut self, epoch: &mut impl Stage<'f>) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        let mut hangs = false;
        for subject in &mut self.subjects {
            let calls = subject.living.log.calls();
            if calls != subject.calls || subject.stopped_until.is_some() {
                (subject.calls, subject.since) = (calls, now);
            }
            hangs |= now.duration_since(subject.since) > PATIENCE;
        }
        if hangs {
            let mut text = format!("{PATIENCE:?} without a call that returned:");
            for subject in &self.subjects {
                text += &subject.what_it_does(now, &epoch.last_call_of(&subject.living));
            }
            text += &format!("\n  {}", epoch.state());
            epoch.lives().fail(Kind::Hang, text);
        }
    }

    /// The time until the next deed: such times are without memory, so no phase of anybody's work is spared.
    fn until_next_deed(&mut self) -> Duration {
        self.plan.between_deeds.mul_f64(-(1.0 - self.rng.f64()).ln())
    }
}

impl Subject {
    fn kill(&mut self) {
        self.killed_at = Some(now_ns());
        self.living.process.signal(Signal::KILL);
    }

    fn what_it_does(&self, now: Instant, last_call: &str) -> String {
        let Living { number, language, process, .. } = &self.living;
        let read =
            |what: &str| fs::read_to_string(format!("/proc/{}/{what}", process.pid)).unwrap_or_default();
        let state = read("stat")
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
        format!(
            "\n  worker {number} ({language:?}) for {:?}, killed: {}, state {state:?}, in {}, last {last_call}",
            now.duration_since(self.since),
            self.killed_at.is_some(),
            read("wchan"),
        )
    }
}
