//! treequeues: two anonymous queues, one each way. The child attaches through the parent's descriptors.

use std::hint;

use treequeues::{Dtype, Handle, LeafKind, LeafSpec, Queue, Schema, SegmentId, Structure, WriteLoan};

use crate::{CAPACITY, Lines, MESSAGE_NBYTES, Outcome, start_child, time_with_child};

pub const NAME: &str = "treequeues";

struct Queues {
    out: Queue,
    back: Queue,
}

impl Lines for Queues {
    type Loan<'l> = WriteLoan<'l>;

    fn loan(&self) -> Outcome<WriteLoan<'_>> {
        Ok(self.out.try_reserve()?)
    }

    fn send<'l>(&'l self, mut loan: WriteLoan<'l>, number: u64) -> Outcome<()> {
        loan.leaf_bytes_mut(0)[..8].copy_from_slice(&number.to_ne_bytes());
        Ok(loan.commit()?)
    }

    fn try_receive(&self) -> Outcome<Option<u64>> {
        if !self.back.may_borrow() {
            hint::spin_loop();
            return Ok(None);
        }
        let Ok(loan) = self.back.try_borrow() else { return Ok(None) };
        let number = u64::from_ne_bytes(loan.leaf_bytes(0)[..8].try_into()?);
        loan.release()?;
        Ok(Some(number))
    }
}

pub fn one_way_ns() -> Outcome<f64> {
    let queues = Queues { out: create()?, back: create()? };
    let arguments = [to_text(queues.out.handle()?), to_text(queues.back.handle()?)];
    let child = start_child(NAME, &arguments)?;
    time_with_child(&queues, child)
}

/// The child's ends, from the texts of the parent's handles.
pub fn attach(handles: &[&str]) -> Outcome<impl Lines + use<>> {
    let [theirs, mine] = handles else { return Err("two queues are needed".into()) };
    Ok(Queues {
        out: Queue::attach_handle(from_text(mine)?)?,
        back: Queue::attach_handle(from_text(theirs)?)?,
    })
}

fn create() -> Outcome<Queue> {
    let leaf = LeafSpec::new(Dtype::from_name("uint8")?, vec![MESSAGE_NBYTES], LeafKind::Array);
    Ok(Queue::create(Schema::new(Structure::leaf(), vec![leaf])?, CAPACITY as u64)?)
}

fn to_text(handle: Handle) -> String {
    format!("{}:{}:{:032x}", handle.pid, handle.fd, u128::from_be_bytes(handle.id))
}

fn from_text(text: &str) -> Outcome<Handle> {
    let [pid, fd, id] = text.split(':').collect::<Vec<_>>()[..] else { return Err("not a handle".into()) };
    let id: SegmentId = u128::from_str_radix(id, 16)?.to_be_bytes();
    Ok(Handle { pid: pid.parse()?, fd: fd.parse()?, id })
}
