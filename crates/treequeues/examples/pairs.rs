//! So many items in and out, nobody else there: what `benchmarks/instructions.py` counts the instructions of.

use std::hint::black_box;

use treequeues::{Queue, Schema};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pairs: u32 = std::env::args().nth(1).ok_or("how many pairs?")?.parse()?;
    let queue = Queue::create_local(Schema::array::<i64>([8])?, 10)?;
    for _ in 0..pairs {
        let mut loan = queue.try_reserve_briefly()?;
        black_box(loan.leaf_bytes_mut(0))[0] = 1;
        loan.commit()?;
        let loan = queue.try_borrow_briefly()?;
        black_box(loan.leaf_bytes(0)[0]);
        loan.release()?;
    }
    Ok(())
}
