//! The system's own reasons, as messages show them.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// The system's reason in its words, without the number that `io::Error` adds; of too many open files, with the mend.
pub(crate) struct SystemReason<'e>(pub &'e io::Error);

impl fmt::Display for SystemReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.0.to_string();
        let number = self.0.raw_os_error().map(|number| format!(" (os error {number})"));
        f.write_str(number.and_then(|number| reason.strip_suffix(&number)).unwrap_or(&reason))?;
        match Errno::from_io_error(self.0) {
            Some(Errno::MFILE) => f.write_str(
                " in this process: a queue takes two descriptors in each process that uses it, and some more while it is \
                 made or attached to; raise the limit (ulimit -n), or close what is not needed",
            ),
            Some(Errno::NFILE) => f.write_str(": the machine is at its limit (fs.file-max)"),
            _ => Ok(()),
        }
    }
}
