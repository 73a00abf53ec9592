//! What stands before the slots in a segment's file: read as plain bytes, and believed in nothing that was not checked.

use std::mem::offset_of;
use std::os::fd::AsFd;

use rustix::fs::FileType;

use super::{file, memfd, named};
use crate::error::{AttachError, Corrupted, Damage};
use crate::format::layout::{Layout, MAX_PARTICIPANTS, MAX_SCHEMA_NBYTES, capacities};
use crate::format::name::QueueName;
use crate::format::{FLAG_NAMED, Header, Kind, MAGIC, VERSION};
use crate::item::schema::{Schema, SchemaError};

/// What stands before the slots in a segment's file, checked (F1 to F4): enough to look into it without mapping it.
#[derive(Debug)]
pub(crate) struct Preamble {
    pub(crate) header: Header,
    pub(crate) kind: Kind,
    pub(crate) schema: Schema,
    pub(crate) layout: Layout,
    pub(crate) name: Option<QueueName>,
}

impl Preamble {
    /// Reads and checks it.
    pub(crate) fn read(fd: impl AsFd) -> Result<Self, AttachError> {
        let fd = fd.as_fd();
        let stat = rustix::fs::fstat(fd)
            .map_err(|errno| AttachError::System { action: "stat the segment", source: errno.into() })?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(AttachError::Foreign("it is no regular file"));
        }
        let nbytes =
            usize::try_from(stat.st_size).map_err(|_| AttachError::Foreign("its size is out of range"))?;
        if nbytes == 0 {
            return Err(AttachError::Foreign("the file is empty"));
        }
        if nbytes < size_of::<Header>() {
            return Err(AttachError::Foreign("the file is shorter than a header"));
        }
        let header = file::read_header(fd)?;
        header.check(nbytes)?;
        let name = if header.flags & FLAG_NAMED != 0 {
            named::check_private(fd)?;
            Some(header.checked_name()?)
        } else {
            memfd::check_sealed(fd)?;
            None
        };
        let kind = header.checked_kind()?;
        let schema_offset = header.check_numbers(kind, nbytes)?;
        let schema_nbytes = header.schema_nbytes as usize;
        let damaged =
            |error| Damage::Schema { offset: schema_offset, end: schema_offset + schema_nbytes, error };
        let json = String::from_utf8(file::read_at(fd, schema_offset, schema_nbytes)?)
            .map_err(|error| Corrupted::from(damaged(SchemaError::Json(error.utf8_error().to_string()))))?;
        let schema = Schema::from_json(&json).map_err(|error| Corrupted::from(damaged(error)))?;
        header.check_layout(kind, &schema).map(|layout| Self { header, kind, schema, layout, name })
    }
}

/// What is wrong with a field of the header, and where it is.
macro_rules! damaged {
    ($field:ident, $found:expr, $expected:expr) => {
        AttachError::Corrupted(Corrupted::from(Damage::Header {
            field: stringify!($field),
            offset: offset_of!(Header, $field),
            found: $found.to_string(),
            expected: $expected.to_string(),
        }))
    };
}

impl Header {
    /// F1 to F3, as far as the header alone can tell.
    fn check(&self, file_nbytes: usize) -> Result<(), AttachError> {
        if self.magic != MAGIC {
            return Err(AttachError::Foreign("it does not begin with the magic bytes"));
        }
        if self.version != VERSION {
            return Err(AttachError::OtherVersion { found: self.version });
        }
        let expected = self.expected_checksum();
        if self.checksum != expected {
            return Err(damaged!(checksum, hex(self.checksum), hex(expected)));
        }
        if self.header_nbytes as usize != size_of::<Self>() {
            return Err(damaged!(header_nbytes, self.header_nbytes, size_of::<Self>()));
        }
        if self.total_nbytes != file_nbytes as u64 {
            return Err(damaged!(
                total_nbytes,
                self.total_nbytes,
                format!("the {file_nbytes} bytes of the file")
            ));
        }
        Ok(())
    }

    /// The name of a segment that has one.
    fn checked_name(&self) -> Result<QueueName, AttachError> {
        QueueName::from_padded(&self.name)
            .map_err(|_| damaged!(name, String::from_utf8_lossy(&self.name).escape_debug(), "a queue's name"))
    }

    fn checked_kind(&self) -> Result<Kind, AttachError> {
        Kind::from_number(self.kind)
            .ok_or_else(|| damaged!(kind, self.kind, "1 for a queue, or 2 for a topic"))
    }

    /// The numbers that say where the schema is, each by itself and all against the file. Returns where it is.
    fn check_numbers(&self, kind: Kind, file_nbytes: usize) -> Result<usize, AttachError> {
        let Self { capacity, participants, schema_nbytes, .. } = *self;
        let capacities = capacities(kind);
        if !capacities.contains(&capacity) {
            let (least, most) = (capacities.start(), capacities.end());
            return Err(damaged!(capacity, capacity, format!("from {least} to {most}")));
        }
        if !(1..=MAX_PARTICIPANTS).contains(&participants) {
            return Err(damaged!(participants, participants, format!("from 1 to {MAX_PARTICIPANTS}")));
        }
        let offset = Layout::schema_offset(kind, capacity, participants.into()).unwrap_or(usize::MAX);
        let room = file_nbytes.saturating_sub(offset).min(MAX_SCHEMA_NBYTES);
        if schema_nbytes > room as u64 {
            return Err(damaged!(
                schema_nbytes,
                schema_nbytes,
                format!("at most {room}, for which there is room")
            ));
        }
        Ok(offset)
    }

    /// What the schema makes of the numbers (F3, F4).
    fn check_layout(&self, kind: Kind, schema: &Schema) -> Result<Layout, AttachError> {
        let fingerprint = schema.fingerprint();
        if self.fingerprint != fingerprint {
            return Err(damaged!(
                fingerprint,
                hex(self.fingerprint),
                format!("the schema's {}", hex(fingerprint))
            ));
        }
        let needed =
            Layout::new(kind, schema, self.schema_nbytes as usize, self.capacity, self.participants.into());
        match needed {
            Ok(layout) if layout.total_nbytes as u64 == self.total_nbytes => Ok(layout),
            Ok(Layout { total_nbytes: needed, .. }) => Err(damaged!(
                total_nbytes,
                self.total_nbytes,
                format!("the {needed} bytes that its schema needs")
            )),
            Err(_) => Err(damaged!(
                capacity,
                self.capacity,
                "so many slots that the address space has room for them"
            )),
        }
    }
}

fn hex(number: u64) -> String {
    format!("{number:#018x}")
}

impl Header {
    pub(super) fn with_checksum(mut self) -> Self {
        self.checksum = self.expected_checksum();
        self
    }

    /// FNV-1a over the fields before the checksum (F2).
    fn expected_checksum(&self) -> u64 {
        let numbers = [
            u64::from_le_bytes(self.magic),
            u64::from(self.header_nbytes) << 32 | u64::from(self.version),
            u64::from_le_bytes(self.id[..8].try_into().expect("8 of 16 bytes")),
            u64::from_le_bytes(self.id[8..].try_into().expect("8 of 16 bytes")),
            self.total_nbytes,
            self.capacity,
            self.schema_nbytes,
            self.fingerprint,
            self.created_at_ns,
            u64::from(self.participants) << 32 | u64::from(self.creator_pid),
        ];
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .chain(self.flags.to_le_bytes())
            .chain(self.max_deliveries.to_le_bytes())
            .chain(self.name)
            .chain(self.kind.to_le_bytes())
            .chain(self.producers.to_le_bytes())
            .chain(self.reserved)
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

/// What the checksum of a file's header should be: for tests of what is behind it.
#[cfg(test)]
pub(crate) fn checksum_of(fd: impl AsFd) -> Result<u64, AttachError> {
    Ok(file::read_header(fd)?.expected_checksum())
}
