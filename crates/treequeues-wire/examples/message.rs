//! Writes a message of two items to a file: what `tests/data/message.safetensors` is, which other programs' readers are tried on.
//!
//! ```console
//! $ cargo run --package treequeues-wire --example message -- message.safetensors
//! ```
use treequeues::dtype::Dtype;
use treequeues::{LeafKind, LeafSpec, Schema};
use treequeues_wire::{ItemNote, Kind, Origin, Wire};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let leaf = |name: &str, shape: &[usize]| -> Result<LeafSpec, Box<dyn std::error::Error>> {
        Ok(LeafSpec::new(Dtype::from_name(name)?, shape.to_vec(), LeafKind::Array))
    };
    let schema = Schema::builder()
        .array::<u8>("obs", [2, 3])
        .nested("meta", |meta| meta.scalar::<i64>("step").scalar::<bool>("done"))
        .leaf("logits", leaf("bfloat16", &[2])?)
        .leaf("scale", leaf("float8_e4m3fn", &[2])?)
        .leaf("time", leaf("datetime64[ns]", &[])?)
        .build()?;
    let rows: [&[u8]; 6] = [
        &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15],
        &[7_i64.to_le_bytes(), 8_i64.to_le_bytes()].concat(),
        &[0, 1],
        // 1.0 and -2.0, 0.5 and 3.0: the upper halves of float32.
        &[0x3f80_u16, 0xc000, 0x3f00, 0x4040].map(u16::to_le_bytes).concat(),
        // 1.0 and -2.0, 0.5 and 448.0.
        &[0x38, 0xc0, 0x30, 0x7e],
        &[1_000_000_000_i64, 2_000_000_000].map(i64::to_le_bytes).concat(),
    ];
    let origin = Origin { kind: Kind::Queue, host: "actors-3".to_owned(), segment: "00ff".repeat(8) };
    let note = |ticket| ItemNote {
        ticket,
        put_time_ns: 1_700_000_000_000_000_000 + ticket,
        producer_pid: 42,
        delivery_count: 0,
    };
    let bytes = Wire::new(schema).encode(&origin, &[note(41), note(42)], &rows.as_slice())?;
    std::fs::write(path, bytes)?;
    Ok(())
}
