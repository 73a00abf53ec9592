//! Everybody who works in an epoch: who was started, who ended how, and what is wrong with that.
//!
//! E1. Every life has a log of its own in the epoch's folder, kept until the verdict. Life 0 is this process: it sees what is left.
//! E2. A worker ends by SIGKILL, or by itself with its log saying so. Anything else is a failure.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::findings::{Finding, Kind};
use crate::history::Fate;
use crate::log::Log;
use crate::nursery::{Language, Python};
use crate::system::{Process, SharedWords, now_ns, reap};

const FATES: &str = "fates.json";
const CONTROL: &str = "control";
const CONTROL_WORDS: usize = 512;

/// What the killer did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deeds {
    /// Processes that died of it.
    pub kills: usize,
    /// Processes that were stopped.
    pub stops: usize,
    /// Times at which everybody was killed at once.
    pub massacres: usize,
    /// Workers that were started.
    pub lives: usize,
}

/// A worker that has not ended.
#[derive(Debug)]
pub struct Living {
    /// Its number.
    pub number: u32,
    /// Its place among the workers: who takes it over does the same.
    pub place: usize,
    /// What it is written in.
    pub language: Language,
    /// The process.
    pub process: Process,
    /// Its receipts.
    pub log: Log,
}

/// Everybody who works, or has worked, in one epoch.
pub struct Lives<'f> {
    /// Where the logs are.
    pub folder: PathBuf,
    /// Word 0 is 1 when everybody is to leave.
    pub control: SharedWords,
    /// What forks the workers in Python.
    pub python: Option<&'f mut Python>,
    /// What the killer did.
    pub deeds: Deeds,
    /// What must not be.
    pub findings: Vec<Finding>,
    next: u32,
    fates: BTreeMap<u32, Fate>,
}

/// What the killer works on: an epoch.
pub trait Stage<'f> {
    /// Everybody who works there.
    fn lives(&mut self) -> &mut Lives<'f>;

    /// Starts a worker in this place.
    fn start(&mut self, place: usize) -> io::Result<Living>;

    /// The call that a worker began last, for people.
    fn last_call_of(&self, living: &Living) -> String;

    /// What everybody works on, for people.
    fn state(&self) -> String;
}

impl<'f> Lives<'f> {
    /// Nobody yet, in a folder that is made.
    pub fn begin(folder: &Path, python: Option<&'f mut Python>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let control = SharedWords::create(&folder.join(CONTROL), CONTROL_WORDS)?;
        Ok(Self {
            folder: folder.to_owned(),
            control,
            python,
            deeds: Deeds::default(),
            findings: Vec::new(),
            next: 1,
            fates: BTreeMap::new(),
        })
    }

    /// Where the control words are.
    pub fn control_path(&self) -> PathBuf {
        self.folder.join(CONTROL)
    }

    /// The number of a new life, and where its log is to be.
    pub fn new_life(&mut self) -> (u32, PathBuf) {
        let number = self.next;
        self.next += 1;
        self.deeds.lives += 1;
        (number, self.path(number))
    }

    /// This process has a log, too.
    pub fn observer(&mut self) -> PathBuf {
        self.fates.insert(0, Fate::Left);
        self.path(0)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// Enters how a worker ended, which it has. `killed_at` is when it was sent SIGKILL, if it was.
    pub fn bury(&mut self, living: &Living, killed_at: Option<u64>) -> io::Result<()> {
        let not_after = now_ns();
        let status = match (&mut self.python, living.language) {
            (Some(python), Language::Python) => python.reap(&living.process)?,
            _ => reap(&living.process)?,
        };
        let fate = match (status.as_str(), killed_at) {
            ("signal 9", Some(not_before)) => {
                self.deeds.kills += 1;
                Fate::Killed { not_before, not_after }
            }
            ("exit 0", _) if living.log.has_left() => Fate::Left,
            (status, _) => {
                let text =
                    format!("worker {} ({:?}) ended by itself: {status}", living.number, living.language);
                self.fail(Kind::Failure, text);
                Fate::Left
            }
        };
        self.fates.insert(living.number, fate);
        Ok(())
    }

    /// Says that everybody is to leave.
    pub fn tell_all_to_leave(&self) {
        self.control.words()[0].store(1, Ordering::Release);
    }

    /// Enters something that must not be.
    pub fn fail(&mut self, kind: Kind, text: String) {
        self.findings.push(Finding { kind, text });
    }

    /// Writes down who ended how.
    pub fn end(self) -> io::Result<Vec<Finding>> {
        if let Some(python) = self.python
            && self.findings.iter().all(|finding| finding.kind != Kind::Hang)
        {
            python.end()?;
        }
        let times = |fate: &Fate| match fate {
            Fate::Left => (0, 0),
            Fate::Killed { not_before, not_after } => (*not_before, *not_after),
        };
        let fates: BTreeMap<u32, (u64, u64)> =
            self.fates.iter().map(|(life, fate)| (*life, times(fate))).collect();
        fs::write(self.folder.join(FATES), serde_json::to_vec(&fates)?)?;
        Ok(self.findings)
    }
}

/// Whether everybody is to leave.
pub fn is_told_to_leave(control: &SharedWords) -> bool {
    control.words()[0].load(Ordering::Acquire) != 0
}

/// The lives whose logs lie in a folder: their numbers, how they ended, and their logs.
pub fn load(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<(u32, Fate, Log)>>> {
    let fates: BTreeMap<u32, (u64, u64)> = serde_json::from_slice(&fs::read(folder.join(FATES))?)?;
    let folder = folder.to_owned();
    Ok(fates.into_iter().map(move |(number, (not_before, not_after))| {
        let fate = if not_after == 0 { Fate::Left } else { Fate::Killed { not_before, not_after } };
        Ok((number, fate, Log::open(&folder.join(number.to_string()))?))
    }))
}
