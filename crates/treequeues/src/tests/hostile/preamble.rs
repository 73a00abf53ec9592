//! Files that say they are segments: who attaches believes nothing that it has not checked.

use std::fs::File;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use rustix::fs::{MemfdFlags, SealFlags};
use serde_json::{Map, Value, json};

use super::{assert_refused_well, config, hostile_u64};
use crate::error::{AttachError, Damage};
use crate::format::layout::{Layout, MAX_CAPACITY, MAX_PARTICIPANTS, MAX_SCHEMA_NBYTES, PAGE_NBYTES};
use crate::format::{Header, Kind};
use crate::item::schema::{Key, LeafKind, LeafSpec, Node, Schema, Structure};
use crate::memory::segment::{CreateOptions, Segment, checksum_of};
use crate::{Dtype, Queue};

/// Far longer than reading any schema takes.
const WATCHDOG: Duration = Duration::from_secs(60);

fn schema() -> Schema {
    let leaf = |dtype: &str, shape: &[usize], kind| {
        LeafSpec::new(Dtype::from_name(dtype).expect("known"), shape.to_vec(), kind)
    };
    let keys = ["obs", "rest"].map(|key| Key::Str(key.to_owned())).to_vec();
    let nodes = vec![Node::Dict(keys), Node::Leaf, Node::Tuple(2), Node::Leaf, Node::None];
    let leaves = vec![leaf("uint8", &[3, 2], LeafKind::Array), leaf("int64", &[], LeafKind::Int)];
    Schema::new(Structure::new(nodes).expect("one tree"), leaves).expect("two leaves")
}

/// The bytes of a fresh segment's file, and where its schema is.
fn sound() -> (Vec<u8>, std::ops::Range<usize>) {
    let options = CreateOptions { participants: 2, ..CreateOptions::default() };
    let segment = Segment::create(Kind::Queue, schema(), 3, options).expect("small");
    let layout = segment.layout();
    let mut bytes = vec![0; layout.total_nbytes];
    let file = File::from(segment.fd().expect("a file").try_clone_to_owned().expect("a descriptor"));
    file.read_exact_at(&mut bytes, 0).expect("as long");
    (bytes, layout.front.schema_offset..layout.front.schema_offset + layout.schema_nbytes)
}

/// A sealed memory file of these bytes, and zeros up to a length.
fn memory_file(bytes: &[u8], nbytes: u64) -> File {
    let fd = rustix::fs::memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .expect("a memory file");
    let file = File::from(fd);
    file.set_len(nbytes).expect("sparse");
    file.write_all_at(&bytes[..bytes.len().min(nbytes as usize)], 0).expect("in memory");
    file
}

fn seal(file: &File) {
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(file, seals).expect("a memory file can be sealed");
}

fn put_u64(bytes: &mut [u8], offset: usize, value: u64) {
    bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}

/// Makes the header's checksum that of its bytes, so that nothing but its numbers can refuse them.
fn mend_checksum(file: &File) {
    let fd = file.try_clone().expect("a descriptor");
    let checksum = checksum_of(&fd).expect("a header's bytes");
    file.write_all_at(&checksum.to_le_bytes(), offset_of!(Header, checksum) as u64).expect("in memory");
}

/// Attaches; a segment that is accepted must work.
fn attach(file: File) -> Result<(), AttachError> {
    seal(&file);
    let segment = Segment::attach(crate::memory::segment::open_anew(&file.into())?.into())?;
    let layout = segment.layout();
    for (place, leaf) in layout.leaves.iter().zip(segment.schema().leaves()) {
        assert_eq!(place.nbytes, leaf.nbytes());
        assert!(place.offset + layout.capacity * place.nbytes <= layout.total_nbytes);
    }
    let queue = Queue::on(segment)?;
    for _ in 0..2 {
        match queue.try_reserve() {
            Ok(mut loan) => {
                for leaf in 0..loan.schema().leaves().len().min(4) {
                    loan.leaf_bytes_mut(leaf).iter_mut().take(1 << 16).for_each(|byte| *byte = 1);
                }
                let _ = loan.commit();
            }
            Err(error) => drop(error.to_string()),
        }
        if let Ok(item) = queue.try_borrow() {
            let _ = item.release();
        }
    }
    Ok(())
}

/// Some edits of a file.
#[derive(Clone, Debug)]
enum Edit {
    Byte(Index, u8),
    /// One of the header's fields, by where it may begin.
    Number(usize, u64),
    Pages(i8),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let field = prop::sample::select(vec![
        offset_of!(Header, version),
        offset_of!(Header, header_nbytes),
        offset_of!(Header, total_nbytes),
        offset_of!(Header, capacity),
        offset_of!(Header, schema_nbytes),
        offset_of!(Header, fingerprint),
        offset_of!(Header, created_at_ns),
        offset_of!(Header, participants),
        offset_of!(Header, flags),
        offset_of!(Header, name),
        offset_of!(Header, kind),
    ]);
    let edit = prop_oneof![
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        4 => (field, hostile_u64()).prop_map(|(offset, value)| Edit::Number(offset, value)),
        1 => (-2_i8..3).prop_map(Edit::Pages),
    ];
    prop::collection::vec(edit, 1..5)
}

/// Puts a JSON value in the place of one of another's parts, by the number of that part.
fn replace(value: &mut Value, number: &mut usize, by: &Value) {
    if *number == 0 {
        *value = by.clone();
    }
    *number = number.wrapping_sub(1);
    let parts: Vec<&mut Value> = match value {
        Value::Array(parts) => parts.iter_mut().collect(),
        Value::Object(parts) => parts.values_mut().collect(),
        _ => return,
    };
    for part in parts {
        if *number > 1 << 20 {
            return;
        }
        replace(part, number, by);
    }
}

/// What a schema's JSON should not hold anywhere, or not there.
fn hostile_json() -> impl Strategy<Value = Value> {
    let nested = |depth: usize| (0..depth).fold(json!(0), |inner, _| json!([inner]));
    let tuples = |depth: usize| (0..depth).fold(json!({"none": []}), |inner, _| json!({"tuple": [inner]}));
    prop_oneof![
        hostile_u64().prop_map(Value::from),
        hostile_u64().prop_map(|n| json!(-(n as i64 >> 1))),
        hostile_u64().prop_map(|n| json!({"list": n})),
        hostile_u64().prop_map(|n| json!({"tuple": n})),
        prop::collection::vec(hostile_u64(), 0..70).prop_map(|shape| json!(shape)),
        hostile_u64().prop_map(|n| json!({"custom": {"class": "a:b", "aux": {"none": []}, "children": n}})),
        (0_usize..200).prop_map(nested),
        (0_usize..70).prop_map(tuples),
        (0_usize..70).prop_map(move |depth| json!({"dict": [tuples(depth), "x"]})),
        Just(json!({"dict": ["same", "same"]})),
        Just(json!({"dataclass": {"class": "no colon", "fields": ["a", "a"]}})),
        (0_usize..3000).prop_map(|n| json!("\u{1F600}".repeat(n))),
        "[a-z0-9<>|]{0,12}".prop_map(Value::from),
        Just(json!({"fields": [{"name": "x", "dtype": "uint8", "offset": u64::MAX}]})),
        Just(Value::Null),
        Just(Value::Object(Map::new())),
        Just(json!(1e300)),
    ]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_hostile_header_is_refused_with_its_field_or_makes_a_queue(edits in edits(), mended in any::<bool>()) {
        let (mut bytes, _) = sound();
        let mut pages = bytes.len() / PAGE_NBYTES;
        for edit in edits {
            match edit {
                Edit::Byte(at, byte) => {
                    let place = at.index(bytes.len());
                    bytes[place] = byte;
                }
                Edit::Number(offset, value) => put_u64(&mut bytes, offset, value),
                Edit::Pages(by) => pages = pages.saturating_add_signed(by.into()),
            }
        }
        let file = memory_file(&bytes, (pages * PAGE_NBYTES) as u64);
        if mended && pages > 0 {
            mend_checksum(&file);
        }
        if let Err(error) = attach(file) {
            assert_refused_well(&error);
        }
    }

    #[test]
    fn bytes_that_are_no_segment_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let refused = attach(memory_file(&bytes, bytes.len() as u64));
        prop_assert!(matches!(refused, Err(AttachError::Foreign(_))), "{refused:?}");
    }

    #[test]
    fn a_hostile_schema_is_refused_with_its_bytes_or_makes_a_queue(
        number in any::<Index>(),
        by in hostile_json(),
        twice in any::<bool>(),
        not_utf8 in prop::option::of(any::<Index>()),
        capacity in prop_oneof![Just(3_u64), 1_u64..4096],
    ) {
        let mut value: Value = serde_json::from_str(&schema().to_json()).expect("JSON");
        replace(&mut value, &mut number.index(30), &by);
        let mut text = value.to_string();
        if twice {
            // A field that comes twice, the second time as it should be.
            text.insert_str(text.len() - usize::from(text.ends_with('}')), ",\"version\":1");
        }
        let read = Schema::from_json(&text);
        let mut json = text.into_bytes();
        if let Some(at) = not_utf8 && !json.is_empty() {
            let place = at.index(json.len());
            json[place] = 0xff;
        }
        let (front, _) = sound();
        let mut header = front[..size_of::<Header>()].to_vec();
        let mut nbytes = front.len();
        if let Ok(schema) = &read {
            put_u64(&mut header, offset_of!(Header, fingerprint), schema.fingerprint());
            let fits = Layout::new(Kind::Queue, schema, json.len(), capacity, 2);
            // What needs more than a machine has is laid out, and not made.
            if let Ok(layout) = fits && layout.total_nbytes < 1 << 32 {
                assert!(layout.leaves.iter().all(|leaf| leaf.offset <= layout.total_nbytes));
                nbytes = layout.total_nbytes;
            }
        }
        let offset = Layout::schema_offset(Kind::Queue, capacity, 2).expect("small");
        let nbytes = nbytes.max((offset + json.len()).next_multiple_of(PAGE_NBYTES));
        put_u64(&mut header, offset_of!(Header, capacity), capacity);
        put_u64(&mut header, offset_of!(Header, schema_nbytes), json.len() as u64);
        put_u64(&mut header, offset_of!(Header, total_nbytes), nbytes as u64);
        let file = memory_file(&header, nbytes as u64);
        file.write_all_at(&json, offset as u64).expect("in memory");
        mend_checksum(&file);
        if let Err(error) = attach(file) {
            assert_refused_well(&error);
        }
    }
}

/// What is said of a sound file with one field of another value, checksum mended.
fn refusal(offset: usize, value: &[u8]) -> String {
    let (mut bytes, _) = sound();
    bytes[offset..offset + value.len()].copy_from_slice(value);
    let file = memory_file(&bytes, bytes.len() as u64);
    mend_checksum(&file);
    attach(file).expect_err("hostile").to_string()
}

#[test]
fn each_field_of_the_header_is_refused_by_its_own_name_and_place() {
    macro_rules! refused {
        ($field:ident, $value:expr) => {{
            let said = refusal(offset_of!(Header, $field), &$value);
            let place =
                format!("its header's {}, at byte {}, is ", stringify!($field), offset_of!(Header, $field));
            assert!(said.contains(&place), "{said:?} does not say {place:?}");
        }};
    }
    refused!(header_nbytes, 255_u32.to_le_bytes());
    refused!(total_nbytes, 0_u64.to_le_bytes());
    refused!(capacity, 0_u64.to_le_bytes());
    refused!(capacity, (MAX_CAPACITY + 1).to_le_bytes());
    refused!(capacity, u64::MAX.to_le_bytes());
    refused!(participants, 0_u32.to_le_bytes());
    refused!(participants, (MAX_PARTICIPANTS + 1).to_le_bytes());
    refused!(schema_nbytes, 5000_u64.to_le_bytes());
    refused!(schema_nbytes, u64::MAX.to_le_bytes());
    refused!(fingerprint, 0_u64.to_le_bytes());
    refused!(kind, 0_u32.to_le_bytes());
    refused!(kind, u32::MAX.to_le_bytes());
    let (mut bytes, _) = sound();
    bytes[offset_of!(Header, id)] ^= 1;
    let said = attach(memory_file(&bytes, bytes.len() as u64)).expect_err("no checksum").to_string();
    assert!(said.contains(&format!("checksum, at byte {}", offset_of!(Header, checksum))), "{said}");
}

#[test]
fn a_schema_that_is_no_text_or_no_schema_is_refused_with_its_bytes() {
    for (damage, reason) in [(b"\xff", "invalid utf-8 sequence"), (b"[", "line 1 column")] {
        let (mut bytes, schema) = sound();
        bytes[schema.start] = damage[0];
        let said = attach(memory_file(&bytes, bytes.len() as u64)).expect_err("no schema").to_string();
        let place = format!("corrupted: its schema, at bytes {} to {}: ", schema.start, schema.end);
        assert!(said.contains(&place) && said.contains(reason), "{said}");
    }
}

#[test]
fn a_file_cut_short_or_grown_is_refused_before_it_is_mapped() {
    let (bytes, _) = sound();
    for nbytes in [size_of::<Header>(), bytes.len() - 1, bytes.len() + 1, bytes.len() + PAGE_NBYTES] {
        let refused = attach(memory_file(&bytes, nbytes as u64)).expect_err("another size");
        let said = refused.to_string();
        assert!(
            said.contains("total_nbytes") && said.contains(&format!("the {nbytes} bytes of the file")),
            "{said}"
        );
    }
}

/// All numbers of the header agree with each other and with the file, but not with what the schema says of the leaves.
#[test]
fn a_schema_of_larger_leaves_than_the_file_has_room_for_is_refused() {
    let (mut bytes, place) = sound();
    let text = std::str::from_utf8(&bytes[place.clone()]).expect("JSON").replace("[3,2]", "[999]");
    let larger = Schema::from_json(&text).expect("a schema as long");
    assert_eq!(text.len(), place.len());
    bytes[place].copy_from_slice(text.as_bytes());
    put_u64(&mut bytes, offset_of!(Header, fingerprint), larger.fingerprint());
    let file = memory_file(&bytes, bytes.len() as u64);
    mend_checksum(&file);
    let said = attach(file).expect_err("one page").to_string();
    assert!(said.contains("total_nbytes") && said.contains("bytes that its schema needs"), "{said}");
}

/// A terabyte that takes no memory: what it says it holds must not be asked for from the allocator.
#[test]
fn a_schema_longer_than_any_is_refused_unread() {
    let (mut bytes, _) = sound();
    let nbytes = 1_u64 << 40;
    put_u64(&mut bytes, offset_of!(Header, total_nbytes), nbytes);
    put_u64(&mut bytes, offset_of!(Header, schema_nbytes), nbytes - PAGE_NBYTES as u64);
    let file = memory_file(&bytes, nbytes);
    mend_checksum(&file);
    let Err(AttachError::Corrupted(error)) = attach(file) else { panic!("a terabyte of schema") };
    assert!(matches!(error.damage(), Damage::Header { field: "schema_nbytes", .. }), "{error}");
    assert!(error.to_string().contains(&MAX_SCHEMA_NBYTES.to_string()), "{error}");
}

/// Each leaf's path has the names of all containers around it. A long name must not cost its length for every leaf.
#[test]
fn a_long_name_above_many_leaves_is_read_in_time() {
    let (leaves, long) = (20_000, "n".repeat(16 << 20));
    let nodes = json!([{"dataclass": {"class": "a:b", "fields": [long]}}, {"list": leaves}]);
    let mut nodes = nodes.as_array().expect("a list").clone();
    nodes.extend(vec![json!("leaf"); leaves]);
    let leaf = json!({"dtype": "uint8"});
    let text = json!({"version": 1, "nodes": nodes, "leaves": vec![leaf; leaves]}).to_string();
    let (done, outcome) = mpsc::channel();
    std::thread::spawn(move || {
        done.send(Schema::from_json(&text).map(|schema| schema.leaves()[7].path.clone()))
    });
    let path = outcome.recv_timeout(WATCHDOG).expect("read in time").expect("a schema");
    assert!(path.ends_with("nnn[7]") && path.contains("...") && path.len() < 100, "{path}");
}
