//! `treequeues top`: looks again and again.
//!
//! | file | what it is |
//! |---|---|
//! | `model` | queues and topics over time, their rates, and what the user has chosen |
//! | `draw` | the screen, drawn from the model |
//! | `mod` | the loop: look, draw, wait for a key |

mod draw;
mod model;
#[cfg(test)]
mod testing;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;
use treequeues::names_folder;

use self::draw::{Scene, draw};
use self::model::Model;
use crate::arguments::Top;
use crate::failure::Failure;
use crate::look::{Kind, Look};
use crate::stop::Stop;
use crate::units;
use crate::watcher::{Watcher, not_found};

/// The longest wait for a key before a look at the signals.
const PATIENCE: Duration = Duration::from_millis(100);
/// A page of rows.
const PAGE: isize = 10;

/// A line of JSON.
#[derive(Serialize)]
struct Report<'m> {
    at: String,
    queues: Vec<QueueLine<'m>>,
}

#[derive(Serialize)]
struct QueueLine<'m> {
    name: &'m str,
    kind: Option<Kind>,
    state: &'m str,
    id: Option<&'m str>,
    items: Option<usize>,
    capacity: Option<usize>,
    puts_per_second: f64,
    gets_per_second: f64,
    bytes_per_second: f64,
    put_waiting: f64,
    get_waiting: f64,
    participants: Option<usize>,
    /// Of a topic, as what follows.
    version: Option<u64>,
    subscriptions: Option<usize>,
    /// How far the last of its subscriptions is behind.
    most_lag: Option<u64>,
    missed_per_second: Option<f64>,
}

/// What a key asks for.
#[derive(Debug, PartialEq)]
enum Asked {
    Quit,
    Redraw,
    Nothing,
}

pub fn run(asked: &Top, out: &mut dyn Write) -> Result<(), Failure> {
    let mut looker = Looker { watcher: Watcher::default(), asked, began: Instant::now() };
    if let Some(name) = &asked.name
        && looker.look()?.is_empty()
    {
        return Err(not_found(name));
    }
    if asked.json {
        return print_lines(&mut looker, out);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::refused(
            "top needs a terminal; `treequeues top --json` prints lines, and `treequeues inspect NAME --json` one look",
        ));
    }
    let stop = Stop::listen_on_a_terminal()?;
    let screen = Screen::open()?;
    watch(&mut looker, screen, &stop)
}

/// The looks of one run.
struct Looker<'t> {
    watcher: Watcher,
    asked: &'t Top,
    began: Instant,
}

impl Looker<'_> {
    fn look(&mut self) -> Result<Vec<Look>, Failure> {
        match &self.asked.name {
            Some(name) => Ok(self.watcher.look_at(name)?.into_iter().collect()),
            None => self.watcher.look_at_all(),
        }
    }

    /// What went wrong once may go right the next time, so that it is only told.
    fn update(&mut self, model: &mut Model) {
        let looks = self.look();
        let now = self.began.elapsed();
        model.trouble = looks.as_ref().err().map(ToString::to_string);
        if let Ok(looks) = looks {
            model.update(now, looks);
        }
    }

    fn is_last(&self, looks: u64) -> bool {
        self.asked.count.is_some_and(|count| looks >= count)
    }
}

fn print_lines(looker: &mut Looker<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let mut model = Model::default();
    // A first look that is not printed, so that the first line has rates.
    looker.update(&mut model);
    let mut next = Instant::now();
    for looks in 1.. {
        next += looker.asked.interval;
        stop.sleep_until(next);
        if stop.is_set() {
            break;
        }
        let found = looker.look()?;
        model.update(looker.began.elapsed(), found);
        let report = Report {
            at: units::moment(SystemTime::now()),
            queues: model.sorted().into_iter().map(line_of).collect(),
        };
        serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
        if looker.is_last(looks) {
            break;
        }
    }
    Ok(())
}

fn line_of(watched: &model::Watched) -> QueueLine<'_> {
    QueueLine {
        name: &watched.look.name,
        kind: watched.look.kind,
        state: watched.state_word(),
        id: watched.look.facts.as_ref().map(|facts| facts.id.as_str()),
        items: watched.items(),
        capacity: watched.capacity(),
        puts_per_second: watched.rates.puts_per_second,
        gets_per_second: watched.rates.gets_per_second,
        bytes_per_second: watched.bytes_per_second(),
        put_waiting: watched.rates.put_waiting,
        get_waiting: watched.rates.get_waiting,
        participants: watched.processes(),
        version: watched.version(),
        subscriptions: watched.subscriptions(),
        most_lag: watched.most_lag(),
        missed_per_second: watched.is_topic().then_some(watched.rates.missed_per_second),
    }
}

/// The terminal, given back as it was when this is dropped; ratatui's hook does the same in a panic.
struct Screen {
    /// Until it is given back.
    terminal: Option<DefaultTerminal>,
    keyboard: Keyboard,
}

impl Screen {
    fn open() -> Result<Self, Failure> {
        // What was done before it failed is undone.
        let keyboard = Keyboard::open()?;
        let terminal = ratatui::try_init().inspect_err(|_| drop(ratatui::try_restore()))?;
        Ok(Self { terminal: Some(terminal), keyboard })
    }
}

/// The terminal that keys come from, to be asked before crossterm is: that reads the end of a terminal as a key that has not
/// come yet, and asks for it again, for ever.
struct Keyboard(OwnedFd);

impl Keyboard {
    /// The one that crossterm reads.
    fn open() -> Result<Self, Failure> {
        let stdin = io::stdin();
        let terminal = if stdin.is_terminal() {
            stdin.as_fd().try_clone_to_owned()
        } else {
            File::open("/dev/tty").map(OwnedFd::from)
        };
        terminal.map(Self).map_err(Failure::could_not("open the terminal"))
    }

    /// Whether there is a key, or a new size, within this time. Fails when the terminal is gone.
    fn has_event_within(&self, wait: Duration) -> io::Result<bool> {
        let mut asked = [PollFd::new(&self.0, PollFlags::IN)];
        let timeout = wait.try_into().map_err(io::Error::other)?;
        match poll(&mut asked, Some(&timeout)) {
            // A signal: perhaps that of a new size.
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) if asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal is gone"));
            }
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        event::poll(Duration::ZERO)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let terminal = self.terminal.take();
        // Not `restore`, nor the end of ratatui's own object: they tell a terminal that is gone what went wrong with it, and
        // panic over that.
        if ratatui::try_restore().is_err() {
            std::mem::forget(terminal);
        }
    }
}

fn watch(looker: &mut Looker<'_>, mut screen: Screen, stop: &Stop) -> Result<(), Failure> {
    let nothing = match &looker.asked.name {
        Some(name) => format!("No queue or topic is named {name} now. One that comes will be shown."),
        None => {
            format!("No named queues in {} now. Those that come will be shown.", names_folder().display())
        }
    };
    let has_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let scene = Scene { interval: looker.asked.interval, nothing: &nothing, has_colors };
    let mut model = Model::new(looker.asked.name.is_some());
    let mut next_look = Instant::now();
    let mut looks = 0;
    while !stop.is_set() {
        let now = Instant::now();
        let mut is_stale = false;
        if now >= next_look {
            if looker.is_last(looks) {
                break;
            }
            looker.update(&mut model);
            looks += 1;
            is_stale = true;
            // A look that took longer than the interval is followed by the next one at once, not by several.
            next_look = (next_look + looker.asked.interval).max(now);
        }
        // All keys that are there, then one drawing.
        let mut wait = next_look.saturating_duration_since(Instant::now()).min(PATIENCE);
        if is_stale {
            wait = Duration::ZERO;
        }
        while screen.keyboard.has_event_within(wait)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match press(&mut model, key) {
                    Asked::Quit => return Ok(()),
                    Asked::Redraw => is_stale = true,
                    Asked::Nothing => {}
                },
                Event::Resize(..) => is_stale = true,
                _ => {}
            }
            wait = Duration::ZERO;
        }
        if is_stale {
            let terminal = screen.terminal.as_mut().expect("given back by its drop alone");
            terminal.draw(|frame| draw(frame, &model, scene))?;
        }
    }
    Ok(())
}

/// What a key does to the model.
fn press(model: &mut Model, key: KeyEvent) -> Asked {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Asked::Quit,
        // Who is lost in the help wants to leave that.
        KeyCode::Esc if model.has_help => model.has_help = false,
        KeyCode::Char('q') | KeyCode::Esc => return Asked::Quit,
        KeyCode::Char('?' | 'h') => model.has_help = !model.has_help,
        KeyCode::Char('s') => model.sort = model.sort.next(),
        KeyCode::Char('r') => model.is_reversed = !model.is_reversed,
        KeyCode::Enter => model.has_details = !model.has_details,
        KeyCode::Up | KeyCode::Char('k') => model.select(-1),
        KeyCode::Down | KeyCode::Char('j') => model.select(1),
        KeyCode::PageUp => model.select(-PAGE),
        KeyCode::PageDown => model.select(PAGE),
        KeyCode::Home => model.select(isize::MIN),
        KeyCode::End => model.select(isize::MAX),
        _ => return Asked::Nothing,
    }
    Asked::Redraw
}

#[cfg(test)]
mod tests {
    use super::testing::look;
    use super::*;

    fn pressed(model: &mut Model, code: KeyCode) -> Asked {
        press(model, KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys_do_what_the_help_says() {
        let mut model = Model::default();
        model.update(Duration::ZERO, vec![look("a", 1, 1).look, look("b", 2, 2).look]);
        assert_eq!(pressed(&mut model, KeyCode::Down), Asked::Redraw);
        assert_eq!(model.selected_place(), Some(1));
        pressed(&mut model, KeyCode::Home);
        assert_eq!(model.selected_place(), Some(0));
        pressed(&mut model, KeyCode::Enter);
        assert!(model.has_details);
        pressed(&mut model, KeyCode::Char('s'));
        assert_eq!(model.sort, model::SortBy::Items);
        pressed(&mut model, KeyCode::Char('r'));
        assert!(model.is_reversed);
        pressed(&mut model, KeyCode::Char('?'));
        assert!(model.has_help);
        assert_eq!(pressed(&mut model, KeyCode::Esc), Asked::Redraw, "it leaves the help first");
        assert_eq!(pressed(&mut model, KeyCode::Esc), Asked::Quit);
        assert_eq!(pressed(&mut model, KeyCode::Char('q')), Asked::Quit);
        assert_eq!(pressed(&mut model, KeyCode::Char('x')), Asked::Nothing);
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(press(&mut model, ctrl_c), Asked::Quit);
    }
}
