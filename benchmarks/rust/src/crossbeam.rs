//! crossbeam's ArrayQueue between two threads of one process: about the least that a ring of slots can cost. It crosses
//! no process, and survives nothing.

use std::hint;
use std::sync::Arc;
use std::thread;

use crossbeam_queue::ArrayQueue;

use crate::{CAPACITY, Lines, MESSAGE_NBYTES, Outcome, send_back, time_trips};

type Message = [u64; MESSAGE_NBYTES / 8];
type Line = Arc<ArrayQueue<Message>>;

struct Rings {
    out: Line,
    back: Line,
}

impl Lines for Rings {
    type Loan<'l> = ();

    fn loan(&self) -> Outcome<()> {
        Ok(())
    }

    fn send(&self, (): (), number: u64) -> Outcome<()> {
        let mut message = Message::default();
        message[0] = number;
        self.out.push(message).map_err(|_| "the ring is full".into())
    }

    fn try_receive(&self) -> Outcome<Option<u64>> {
        let message = self.back.pop();
        if message.is_none() {
            hint::spin_loop();
        }
        Ok(message.map(|message| message[0]))
    }
}

pub fn one_way_ns() -> Outcome<f64> {
    let (out, back) = (Line::new(ArrayQueue::new(CAPACITY)), Line::new(ArrayQueue::new(CAPACITY)));
    let theirs = Rings { out: Arc::clone(&back), back: Arc::clone(&out) };
    let other = thread::spawn(move || send_back(&theirs).map_err(|error| error.to_string()));
    let ns = time_trips(&Rings { out, back })?;
    other.join().map_err(|_| "the other thread panicked")??;
    Ok(ns)
}
