//! Messages that are whole, messages that are not, and bytes that never were one.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use safetensors::tensor::{Dtype as TensorDtype, TensorView};
use treequeues::dtype::Dtype;
use treequeues::schema::{Key, LeafSpec, Node};
use treequeues::{LeafKind, Schema, Structure};
use treequeues_wire::{ItemNote, Kind, Origin, Refused, Unsendable, Wire};

const DTYPES: [&str; 14] = [
    "bool",
    "uint8",
    "int64",
    "float32",
    "bfloat16",
    "float8_e4m3fn",
    ">f4",
    "complex64",
    "complex128",
    "datetime64[ns]",
    "S3",
    "U2",
    "int4",
    "V5",
];

/// A tensor by its name: dtype, shape and bytes.
type Tensors = Vec<(String, TensorDtype, Vec<usize>, Vec<u8>)>;

/// A whole message, and what it is of.
#[derive(Debug)]
struct Sent {
    schema: Schema,
    origin: Origin,
    items: Vec<ItemNote>,
    rows: Vec<Vec<u8>>,
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let rows: Vec<&[u8]> = self.rows.iter().map(Vec::as_slice).collect();
        Wire::new(self.schema.clone()).encode(&self.origin, &self.items, &rows.as_slice()).expect("it fits")
    }
}

fn keys() -> impl Strategy<Value = Key> {
    prop_oneof![
        "[a-z~/]{0,3}|__metadata__".prop_map(Key::Str),
        (-2_i128..12).prop_map(Key::Int),
        any::<bool>().prop_map(Key::Bool),
        vec(any::<u8>(), 0..3).prop_map(Key::Bytes),
    ]
}

/// Nodes in preorder.
fn trees() -> impl Strategy<Value = Vec<Node>> {
    let leaf = prop_oneof![9 => Just(vec![Node::Leaf]), 1 => Just(vec![Node::None])];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let under = |node: Node, children: Vec<Vec<Node>>| [vec![node], children.concat()].concat();
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(move |it| under(Node::List(it.len()), it)),
            (proptest::collection::hash_set(keys(), 3), vec(inner, 3))
                .prop_map(move |(keys, it)| under(Node::Dict(keys.into_iter().collect()), it)),
        ]
    })
}

fn leaf_specs() -> impl Strategy<Value = LeafSpec> {
    (proptest::sample::select(&DTYPES[..]), vec(0_usize..4, 0..3))
        .prop_map(|(name, shape)| LeafSpec::new(Dtype::from_name(name).expect(name), shape, LeafKind::Array))
}

fn notes() -> impl Strategy<Value = ItemNote> {
    (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>()).prop_map(
        |(ticket, put_time_ns, producer_pid, delivery_count)| ItemNote {
            ticket,
            put_time_ns,
            producer_pid,
            delivery_count,
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let schemas = trees().prop_flat_map(|nodes| {
        let leaves = nodes.iter().filter(|node| **node == Node::Leaf).count();
        vec(leaf_specs(), leaves).prop_map(move |leaves| {
            Schema::new(Structure::new(nodes.clone()).expect("a tree"), leaves).expect("sound leaves")
        })
    });
    let origins = (any::<bool>(), ".{0,5}", "[0-9a-f]{32}").prop_map(|(is_queue, host, segment)| Origin {
        kind: if is_queue { Kind::Queue } else { Kind::Topic },
        host,
        segment,
    });
    (schemas, origins, vec(notes(), 1..5)).prop_flat_map(|(schema, origin, items)| {
        let count = items.len();
        let rows: Vec<_> =
            schema.leaves().iter().map(|leaf| vec(any::<u8>(), leaf.nbytes() * count)).collect();
        (Just(schema), Just(origin), Just(items), rows).prop_map(|(schema, origin, items, rows)| Sent {
            schema,
            origin,
            items,
            rows,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 100_000 }))]

    #[test]
    fn what_is_decoded_is_what_was_encoded(sent in sent()) {
        let bytes = sent.bytes();
        let wire = Wire::new(sent.schema.clone());
        let message = wire.decode(&bytes).expect("a whole message");
        prop_assert_eq!(message.origin(), &sent.origin);
        prop_assert_eq!(message.items(), &sent.items);
        for (leaf, rows) in sent.rows.iter().enumerate() {
            prop_assert_eq!(message.rows(leaf), rows);
            let one_by_one: Vec<u8> =
                (0..sent.items.len()).flat_map(|item| message.row(item, leaf)).copied().collect();
            prop_assert_eq!(&one_by_one, rows);
        }
        let names: std::collections::HashSet<_> = wire.names().collect();
        prop_assert_eq!(names.len(), sent.schema.leaves().len(), "a tensor a leaf");
    }

    #[test]
    fn bytes_that_never_were_a_message_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        let wire = Wire::new(Schema::builder().scalar::<i64>("x").build().expect("sound"));
        prop_assert!(wire.decode(&bytes).is_err());
    }

    #[test]
    fn damage_is_refused_or_changes_values_alone(
        sent in sent(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = sent.bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let wire = Wire::new(sent.schema.clone());
        if let Ok(message) = wire.decode(&bytes) {
            prop_assert_eq!(message.items().len(), sent.items.len());
            for (leaf, spec) in sent.schema.leaves().iter().enumerate() {
                prop_assert_eq!(message.rows(leaf).len(), spec.nbytes() * sent.items.len());
            }
        }
    }
}

fn schema() -> Schema {
    Schema::builder().array::<u8>("obs", [2]).scalar::<bool>("done").build().expect("a sound schema")
}

fn two_items() -> Sent {
    let note = |ticket| ItemNote { ticket, put_time_ns: 5, producer_pid: 6, delivery_count: 0 };
    Sent {
        schema: schema(),
        origin: Origin { kind: Kind::Queue, host: "here".into(), segment: "ab".into() },
        items: vec![note(1), note(2)],
        rows: vec![vec![1, 2, 3, 4], vec![0, 1]],
    }
}

/// The same file with other metadata and tensors.
fn rewritten(bytes: &[u8], change: impl FnOnce(&mut HashMap<String, String>, &mut Tensors)) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).expect("whole");
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).expect("whole");
    let mut metadata = header.metadata().clone().unwrap_or_default();
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    change(&mut metadata, &mut tensors);
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), data).expect("so many bytes"))
    });
    safetensors::serialize(views, Some(metadata)).expect("it fits")
}

/// Why the message is refused, once one entry of its metadata is another.
fn refused_with(key: &str, value: Option<&str>) -> String {
    let bytes = rewritten(&two_items().bytes(), |metadata, _| {
        match value {
            Some(value) => metadata.insert(key.to_owned(), value.to_owned()),
            None => metadata.remove(key),
        };
    });
    Wire::new(schema()).decode(&bytes).expect_err(key).to_string()
}

#[test]
fn metadata_that_is_not_that_of_such_items_is_refused_with_its_place() {
    for (key, value, said) in [
        (
            "treequeues.version",
            None,
            r#"not a message of treequeues: its metadata has no "treequeues.version""#,
        ),
        (
            "treequeues.version",
            Some("2"),
            r#"it is of version "2" of the format, and this one reads version "1""#,
        ),
        ("treequeues.kind", Some("stack"), r#"its metadata has "stack" as "treequeues.kind""#),
        ("treequeues.host", None, r#"not a message of treequeues: its metadata has no "treequeues.host""#),
        (
            "treequeues.tickets",
            Some("[1]"),
            r#"its metadata has 2 numbers as "treequeues.times", for 1 items"#,
        ),
        (
            "treequeues.tickets",
            Some("[]"),
            r#"its metadata has 2 numbers as "treequeues.times", for 0 items"#,
        ),
        ("treequeues.tickets", Some("1-2"), r#"its metadata has "1-2" as "treequeues.tickets""#),
        ("treequeues.pids", Some("[1,-1]"), r#"its metadata has "[1,-1]" as "treequeues.pids""#),
        ("treequeues.pids", Some("[1,4294967296]"), r#"its metadata has "4294967296" as "treequeues.pids""#),
        ("treequeues.fingerprint", Some("0"), r#"its metadata has "0" as "treequeues.fingerprint""#),
        ("treequeues.structure", Some("{"), "its items are others, and their schema cannot be read"),
    ] {
        let found = refused_with(key, value);
        assert!(found.starts_with(said), "{key}: {found}");
    }
}

#[test]
fn items_of_another_schema_are_refused_with_both_sides() {
    let other =
        Schema::builder().array::<u8>("obs", [3]).scalar::<bool>("done").build().expect("a sound schema");
    let refused = Wire::new(other).decode(&two_items().bytes()).expect_err("others").to_string();
    assert!(refused.starts_with("its items are others:\n"), "{refused}");
    assert!(refused.contains("uint8 (3,)  uint8 (2,)"), "{refused}");
}

#[test]
fn items_are_whatever_bytes_they_are_in_shared_memory() {
    let mut sent = two_items();
    sent.rows[1] = vec![7, 255];
    let bytes = sent.bytes();
    assert_eq!(Wire::new(schema()).decode(&bytes).expect("whole").rows(1), [7, 255]);
}

#[test]
fn tensors_whose_sizes_add_up_to_more_than_numbers_hold_are_refused() {
    let length = (1_u64 << 61) - 1;
    let tensors: Vec<_> = (0..8_u64)
        .map(|n| {
            let (begin, end) = (n * length, (n + 1) * length);
            format!(r#""t{n}":{{"dtype":"U8","shape":[{length}],"data_offsets":[{begin},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", tensors.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    assert!(matches!(Wire::new(schema()).decode(&bytes), Err(Refused::Format(_))));
}

#[test]
fn a_reason_is_short_and_has_nothing_that_a_terminal_obeys() {
    let tensor = format!("{}\u{1b}[2J", "x".repeat(100_000));
    let header =
        serde_json::json!({ tensor: {"dtype": "U8", "shape": [2], "data_offsets": [0, 1]} }).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0]].concat();
    let name = format!("\u{1b}{}", "y".repeat(100_000));
    let structure =
        serde_json::json!({"version": 1, "nodes": ["leaf"], "leaves": [{"dtype": name}]}).to_string();
    let other = rewritten(&two_items().bytes(), |metadata, _| {
        metadata.insert("treequeues.structure".to_owned(), structure);
    });
    for bytes in [bytes, other] {
        let said = Wire::new(schema()).decode(&bytes).expect_err("no message").to_string();
        assert!(said.len() < 400 && !said.contains('\u{1b}'), "{} bytes: {said}", said.len());
    }
}

#[test]
fn an_equal_fingerprint_is_not_believed() {
    let bytes = rewritten(&two_items().bytes(), |metadata, _| {
        let other = Schema::builder().scalar::<i64>("x").build().expect("sound");
        metadata.insert("treequeues.structure".to_owned(), other.to_json());
    });
    assert!(matches!(Wire::new(schema()).decode(&bytes), Err(Refused::OtherItems(_))));
}

#[test]
fn tensors_that_are_not_those_of_the_leaves_are_refused_with_their_name() {
    let said = |change: fn(&mut Tensors)| {
        let bytes = rewritten(&two_items().bytes(), |_, tensors| {
            tensors.sort_by(|left, right| left.0.cmp(&right.0));
            change(tensors);
        });
        Wire::new(schema()).decode(&bytes).expect_err("others").to_string()
    };
    assert_eq!(
        said(|tensors| drop(tensors.remove(1))),
        r#"it has no tensor named "obs", or others than the schema's 2 leaves"#
    );
    assert_eq!(
        said(|tensors| tensors.push(("more".to_owned(), TensorDtype::U8, vec![1], vec![0]))),
        r#"it has no tensor named "more", or others than the schema's 2 leaves"#
    );
    assert_eq!(said(|tensors| tensors[1].2 = vec![4]), r#""obs": expected U8 [2, 2], got U8 [4]"#);
    assert_eq!(said(|tensors| tensors[1].1 = TensorDtype::I8), r#""obs": expected U8 [2, 2], got I8 [2, 2]"#);
}

#[test]
fn a_message_that_was_cut_is_refused() {
    let bytes = two_items().bytes();
    let wire = Wire::new(schema());
    for length in 0..bytes.len() {
        assert!(matches!(wire.decode(&bytes[..length]), Err(Refused::Format(_))), "{length} bytes");
    }
}

#[test]
fn rows_of_another_number_of_items_are_not_sent() {
    let wire = Wire::new(schema());
    let Sent { origin, items, .. } = two_items();
    let rows: [&[u8]; 2] = [&[1, 2, 3, 4], &[0]];
    let error = wire.encode(&origin, &items, &rows.as_slice()).expect_err("a row is missing").to_string();
    assert_eq!(error, r#""done": 2 items have 2 bytes there, got 1"#);
    assert!(matches!(wire.encode(&origin, &[], &rows.as_slice()), Err(Unsendable::NoItems)));
}

#[test]
fn rows_of_other_leaves_are_not_sent() {
    let Sent { origin, items, rows, .. } = two_items();
    for count in [0, 1, 3] {
        let rows = vec![&*rows[0]; count];
        let error = Wire::new(schema()).encode(&origin, &items, &rows.as_slice()).expect_err("others");
        assert_eq!(error.to_string(), format!("rows of {count} leaves, and the schema has 2"));
    }
    let other = Schema::builder().array::<i8>("obs", [2]).scalar::<bool>("done").build().expect("sound");
    let queue = treequeues::Queue::create_local(other, 1).expect("a queue");
    queue.try_reserve().expect("free").commit().expect("sound");
    let loan = queue.try_borrow().expect("an item");
    let error = Wire::new(schema()).encode(&origin, &items[..1], &loan).expect_err("others").to_string();
    assert!(error.starts_with("the items are others than this format's:\n"), "{error}");
}

#[test]
#[should_panic(expected = "item 2 of 2")]
fn there_is_no_row_of_an_item_that_is_not_there() {
    let bytes = two_items().bytes();
    let wire = Wire::new(schema());
    let message = wire.decode(&bytes).expect("whole");
    let _ = message.row(2, 0);
}

#[test]
fn rows_come_from_loans_and_from_batches_that_go_past_the_end() {
    let queue = treequeues::Queue::create_local(schema(), 3).expect("a queue");
    let wire = Wire::new(schema());
    let put = |byte: u8| {
        let mut loan = queue.try_reserve().expect("free");
        loan.leaf_bytes_mut(0).copy_from_slice(&[byte, byte]);
        loan.leaf_bytes_mut(1).copy_from_slice(&[byte & 1]);
        loan.commit().expect("sound");
    };
    put(1);
    put(2);
    let first = queue.try_borrow().expect("an item");
    let note = |ticket| ItemNote { ticket, put_time_ns: 0, producer_pid: 0, delivery_count: 0 };
    let origin = two_items().origin;
    let bytes = wire.encode(&origin, &[note(first.ticket())], &first).expect("it fits");
    assert_eq!(wire.decode(&bytes).expect("whole").rows(0), [1, 1]);
    first.release().expect("sound");
    put(3);
    put(4);
    let batch = queue.try_borrow_batch(treequeues::BatchSize::exactly(3)).expect("three items");
    assert_eq!(batch.runs(0).count(), 2, "past the ring's end");
    let notes: Vec<_> = batch.infos().map(|info| note(info.ticket)).collect();
    let bytes = wire.encode(&origin, &notes, &batch).expect("it fits");
    let message = wire.decode(&bytes).expect("whole");
    assert_eq!((message.rows(0), message.rows(1)), (&[2, 2, 3, 3, 4, 4][..], &[0, 1, 0][..]));
}

/// What `examples/message.rs` wrote once: a change of the format that it does not survive needs another version.
#[test]
fn a_message_that_was_written_before_is_read() {
    let bytes = include_bytes!("data/message.safetensors");
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).expect("whole");
    let structure = &header.metadata().as_ref().expect("metadata")["treequeues.structure"];
    let wire = Wire::new(Schema::from_json(structure).expect("a schema"));
    assert_eq!(
        wire.names().collect::<Vec<_>>(),
        ["obs", "meta/step", "meta/done", "logits", "scale", "time"]
    );
    let message = wire.decode(bytes).expect("whole");
    assert_eq!((message.origin().kind, &*message.origin().host), (Kind::Queue, "actors-3"));
    let tickets: Vec<_> = message.items().iter().map(|item| item.ticket).collect();
    assert_eq!(tickets, [41, 42]);
    assert_eq!(message.row(1, 0), [10, 11, 12, 13, 14, 15]);
    assert_eq!(message.row(1, 1), 8_i64.to_le_bytes());
}
