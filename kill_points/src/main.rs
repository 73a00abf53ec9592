//! The command `kill_points`.
#![forbid(unsafe_code)]

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    treequeues_kill_points::main()
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("kill points: the tracer knows breakpoints of x86-64 alone");
}
