//! How much memory a reservation can count on: the machine's, that of the control groups around this process, and what its
//! own limits leave it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Bytes that are left to the rest of the machine.
const HEADROOM_NBYTES: u64 = 32 << 20;

/// Bytes that a queue can have without swapping, and what limits them. Reclaimable cache counts as free.
///
/// # Errors
/// If the process has no descriptor left to look with: what is not seen must not pass for unlimited.
pub(super) fn available_memory() -> io::Result<(u64, &'static str)> {
    let machine = read("/proc/meminfo")?.and_then(|text| field(&text, "MemAvailable:"));
    let machine = machine.map_or(u64::MAX, |kibibytes| kibibytes * 1024);
    let cgroup = read("/proc/self/cgroup")?.map_or(u64::MAX, |groups| cgroup_available(&groups));
    let rooms = [
        (machine.saturating_sub(HEADROOM_NBYTES), "on this machine"),
        (cgroup.saturating_sub(HEADROOM_NBYTES), "by the limit of this control group"),
        // Looked at before the system does: it would send SIGXFSZ.
        (getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX), "by this process's limit of a file's size"),
        (address_space_available()?, "by this process's limit of its address space"),
    ];
    Ok(rooms.into_iter().min_by_key(|(bytes, _)| *bytes).expect("there are four"))
}

/// What this process may still map.
fn address_space_available() -> io::Result<u64> {
    let Some(limit) = getrlimit(Resource::As).current else { return Ok(u64::MAX) };
    let mapped = read("/proc/self/status")?.and_then(|text| field(&text, "VmSize:"));
    Ok(limit.saturating_sub(mapped.map_or(0, |kibibytes| kibibytes * 1024)))
}

/// A file of the kernel's; `None` where there is none, or none for this process.
fn read(path: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_out_of_descriptors(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether an error is that no more descriptors can be had.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The least room that any control group above this process has left.
fn cgroup_available(groups: &str) -> u64 {
    let unlimited = u64::MAX;
    let mut least = unlimited;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, version) = match controllers {
            "" => ("/sys/fs/cgroup", &V2),
            _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", &V1),
            _ => continue,
        };
        // In a container the path may be that of the host; then the visible root is this process's own group.
        let mut group = PathBuf::from(root);
        group.push(path.trim_start_matches('/'));
        while group.starts_with(root) {
            least = least.min(version.available(&group).unwrap_or(unlimited));
            group.pop();
        }
    }
    least
}

/// The names of one control group version's files and counters.
struct Version {
    limit: &'static str,
    usage: &'static str,
    reclaimable: [&'static str; 3],
}

const V2: Version = Version {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: ["inactive_file ", "active_file ", "slab_reclaimable "],
};
const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_inactive_file ", "total_active_file ", "total_slab_reclaimable "],
};

impl Version {
    fn available(&self, group: &Path) -> Option<u64> {
        // "max" does not parse, and means no limit.
        let limit: u64 = fs::read_to_string(group.join(self.limit)).ok()?.trim().parse().ok()?;
        let usage: u64 = fs::read_to_string(group.join(self.usage)).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable: u64 = self.reclaimable.iter().filter_map(|name| field(&stat, name)).sum();
        Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
    }
}

/// The number that follows `name` at a line's beginning.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reclaimable_cache_counts_as_free() {
        let group = std::env::temp_dir().join(format!("treequeues-cgroup-{}", std::process::id()));
        fs::create_dir_all(&group).expect("a temporary directory");
        fs::write(group.join("memory.max"), "1000\n").expect("written");
        fs::write(group.join("memory.current"), "900\n").expect("written");
        fs::write(group.join("memory.stat"), "anon 500\ninactive_file 300\nactive_file 50\n")
            .expect("written");
        let available = V2.available(&group);
        fs::write(group.join("memory.max"), "max\n").expect("written");
        let unlimited = V2.available(&group);
        fs::remove_dir_all(&group).expect("removed");
        assert_eq!(available, Some(450));
        assert_eq!(unlimited, None);
    }

    #[test]
    fn this_machine_has_some_memory() {
        let (available, _) = available_memory().expect("a descriptor to look with");
        assert!(available > 1 << 20);
    }
}
