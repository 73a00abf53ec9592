//! Death at every instruction: a tracer runs an operation up to its n-th instruction and kills the process there, for every n.
//!
//! | file | what it is |
//! |---|---|
//! | `tracer` | ptrace: a child that runs up to one instruction |
//! | `items`, `scenes`, `operations` | what is in the queue, the rings that operations begin on, what victims do |
//! | `verdict` | what a survivor must find |
//! | `short` | every instruction of the short operations; killed, stopped and killed, stopped and let go on |
//! | `sleepers` | every instruction again, while somebody sleeps who waits for it |
//! | `double` | the sweeper is killed too, or stopped and let go on |
//! | `journeys` | creating, attaching, leaving, names: before and after each store and system call |
//!
//! Each case runs in a process of its own, a few at a time. A case that hangs is killed by the watchdog, and says where it was.

#[cfg(target_arch = "x86_64")]
mod double;
#[cfg(target_arch = "x86_64")]
mod items;
#[cfg(target_arch = "x86_64")]
mod journeys;
#[cfg(target_arch = "x86_64")]
mod operations;
#[cfg(target_arch = "x86_64")]
mod pool;
#[cfg(target_arch = "x86_64")]
mod scenes;
#[cfg(target_arch = "x86_64")]
mod short;
#[cfg(target_arch = "x86_64")]
mod sleepers;
#[cfg(target_arch = "x86_64")]
mod tally;
#[cfg(target_arch = "x86_64")]
mod tracer;
#[cfg(target_arch = "x86_64")]
mod verdict;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    pool::main(
        &[short::cases(), sleepers::cases(), double::cases(), journeys::cases()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
    )
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("kill points: the tracer knows breakpoints of x86-64 alone");
}
