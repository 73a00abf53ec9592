//! The other side of tests/processes/test_rust_and_python.py: a process in Rust that does what the test tells it.
//!
//! ```text
//! peer create NAME     makes a queue of `Item`s
//! peer attach NAME     attaches to one that holds `Item`s, or is refused
//! peer untyped NAME    attaches to one of any items
//! ```
//!
//! It then reads orders from its standard input, one a line, and answers each with a line. It ends with its input.
#![deny(unsafe_code)]

use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::time::Duration;

use treequeues::{CreateOptions, Queue, ReadLoan, Tree, TypedQueue, Wait, WriteLoan};

/// Far longer than anything takes that waits with it.
const WATCHDOG: Duration = Duration::from_secs(60);
const CAPACITY: u64 = 4;

#[derive(Tree, Debug)]
struct Arm {
    joints: [f64; 3],
    gripped: bool,
}

#[derive(Tree, Debug)]
struct Item {
    frame: [[u8; 4]; 2],
    arm: Arm,
    legal: [bool; 3],
    done: bool,
    reward: f64,
    count: i64,
    level: u16,
    speed: f32,
}

/// Something else in each leaf, and another item for each number.
fn item(number: u8) -> Item {
    let float = f64::from(number);
    Item {
        frame: [[number, 1, 2, 3], [4, 5, 6, 255]],
        arm: Arm { joints: [float, float + 0.5, -1.0], gripped: number.is_multiple_of(2) },
        legal: [true, false, number > 1],
        done: number == 1,
        reward: float / 4.0,
        count: -i64::from(number),
        level: 40_000 + u16::from(number),
        speed: 0.5,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["create", name] => create(name),
        ["attach", name] => attach(name),
        ["untyped", name] => untyped(name),
        _ => Err("usage: peer create|attach|untyped NAME".into()),
    };
    done.map_or_else(
        |error| {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn create(name: &str) -> Result<(), Box<dyn Error>> {
    obey_typed(&TypedQueue::create_named(name, CAPACITY, CreateOptions::default())?)
}

fn attach(name: &str) -> Result<(), Box<dyn Error>> {
    obey_typed(&TypedQueue::attach(name)?)
}

fn obey_typed(queue: &TypedQueue<Item>) -> Result<(), Box<dyn Error>> {
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    obey(|order| {
        Ok(match order {
            ["push", number] => {
                queue.push_with(&item(number.parse()?), Wait::at_most(WATCHDOG))?;
                "pushed".to_owned()
            }
            ["pop"] => match queue.pop_with(Wait::at_most(WATCHDOG)) {
                Ok(item) => format!("{item:?}"),
                Err(error) => format!("refused: {error}"),
            },
            _ => hold(queue.queue(), order, &mut writing, &mut reading)?,
        })
    })
}

fn untyped(name: &str) -> Result<(), Box<dyn Error>> {
    let queue = Queue::attach(name)?;
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    obey(|order| hold(&queue, order, &mut writing, &mut reading))
}

/// Orders about loans, which are held until the end, or until they are ended.
fn hold<'q>(
    queue: &'q Queue,
    order: &[&str],
    writing: &mut Vec<WriteLoan<'q>>,
    reading: &mut Vec<ReadLoan<'q>>,
) -> Result<String, Box<dyn Error>> {
    Ok(match order {
        ["reserve"] => {
            writing.push(queue.reserve_with(Wait::at_most(WATCHDOG))?);
            "reserved".to_owned()
        }
        // Floats, for they are enough of a test.
        ["write", path, values @ ..] => {
            let row = writing.last_mut().ok_or("nothing is reserved")?.leaf_mut::<f64>(*path)?;
            let values = values.iter().map(|value| value.parse()).collect::<Result<Vec<f64>, _>>()?;
            row.copy_from_slice(&values);
            "written".to_owned()
        }
        ["commit"] => {
            writing.pop().ok_or("nothing is reserved")?.commit()?;
            "committed".to_owned()
        }
        ["borrow"] => {
            reading.push(queue.borrow_with(Wait::at_most(WATCHDOG))?);
            "borrowed".to_owned()
        }
        ["read", path] => {
            let loan = reading.last().ok_or("nothing is borrowed")?;
            format!("{:?}", loan.leaf::<f64>(*path)?)
        }
        ["release"] => {
            reading.pop().ok_or("nothing is borrowed")?.release()?;
            "released".to_owned()
        }
        order => return Err(format!("no order {order:?}").into()),
    })
}

fn obey(mut answer: impl FnMut(&[&str]) -> Result<String, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        println!("{}", answer(&line.split_whitespace().collect::<Vec<_>>())?);
    }
    Ok(())
}
