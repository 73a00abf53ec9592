//! Schemas: what they derive, what they refuse, and that their JSON survives everything.

use proptest::prelude::*;

use super::*;
use crate::item::dtype::{Dtype, Field, Structured};

fn array(dtype: &str, shape: &[usize]) -> LeafSpec {
    LeafSpec::new(Dtype::from_name(dtype).unwrap(), shape.to_vec(), LeafKind::Array)
}

fn names(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::Str((*name).to_owned())).collect()
}

fn fields(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn class() -> ClassPath {
    ClassPath::new("game.state", "Game.State")
}

fn schema_of(nodes: Vec<Node>) -> Result<Schema, SchemaError> {
    let structure = Structure::new(nodes)?;
    let leaves = vec![array("uint8", &[2]); structure.leaf_count()];
    Schema::new(structure, leaves)
}

fn paths_of(nodes: Vec<Node>) -> Vec<String> {
    schema_of(nodes).unwrap().leaves().iter().map(|leaf| leaf.path.clone()).collect()
}

#[test]
fn paths_read_like_python() {
    let keys = vec![
        Key::Str("obs".to_owned()),
        Key::Str("a b".to_owned()),
        Key::Str("it's".to_owned()),
        Key::Int(-3),
        Key::from_f64(0.5),
        Key::None,
        Key::Bytes(b"\x00'a".to_vec()),
        Key::Tuple(vec![Key::Bool(true), Key::Tuple(vec![Key::Str("x".to_owned())])]),
    ];
    let mut nodes =
        vec![Node::Dict(keys), Node::NamedTuple { class: class(), fields: fields(&["left", "right"]) }];
    nodes.extend([Node::Leaf, Node::List(2), Node::Leaf, Node::Leaf]);
    nodes.extend(vec![Node::Leaf; 7]);
    let expected = "obs.left|obs.right[0]|obs.right[1]|['a b']|['it\\'s']|[-3]|[0.5]|[None]|[b'\\x00\\'a']|[(True, ('x',))]";
    assert_eq!(paths_of(nodes).join("|"), expected);
    assert_eq!(paths_of(vec![Node::Leaf]), ["(root)"]);
}

#[test]
fn paths_follow_the_tree_out_of_empty_and_finished_containers() {
    let nodes = vec![
        Node::Tuple(4),
        Node::List(0),
        Node::Dict(names(&["x"])),
        Node::List(1),
        Node::Leaf,
        Node::None,
        Node::Custom { class: class(), aux: Key::None, children: 2 },
        Node::Leaf,
        Node::Leaf,
    ];
    let schema = schema_of(nodes).unwrap();
    let paths: Vec<_> = schema.leaves().iter().map(|leaf| leaf.path.as_str()).collect();
    assert_eq!(paths, ["[1].x[0]", "[3][0]", "[3][1]"]);
    assert_eq!(schema.structure().path_of(6), "[3]");
    assert_eq!(schema.structure().path_of(0), "(root)");
}

#[test]
fn long_paths_lose_their_middle() {
    let key = "k".repeat(70);
    let mut nodes: Vec<Node> = (0..20).map(|_| Node::Dict(names(&[&key]))).collect();
    nodes.push(Node::Leaf);
    let path = &paths_of(nodes)[0];
    assert_eq!(path.chars().count(), MAX_PATH_CHARS);
    assert!(path.starts_with("kkk") && path.contains("...") && path.ends_with("kkk"));
}

#[test]
fn depth_is_bounded_and_the_message_names_the_limit() {
    let nest = |depth: usize| {
        let mut nodes = vec![Node::List(1); depth];
        nodes.push(Node::Leaf);
        Structure::new(nodes)
    };
    assert!(nest(MAX_DEPTH).is_ok());
    assert_eq!(nest(MAX_DEPTH + 1), Err(SchemaError::TooDeep));
    assert_eq!(nest(1_000_000), Err(SchemaError::TooDeep));
    assert!(SchemaError::TooDeep.to_string().contains("100 levels"));
}

#[test]
fn leaves_are_bounded_and_a_full_tree_works() {
    let wide = |leaves: usize| {
        let mut nodes = vec![Node::List(leaves)];
        nodes.extend(std::iter::repeat_n(Node::Leaf, leaves));
        Structure::new(nodes)
    };
    assert_eq!(wide(10_000).unwrap().leaf_count(), 10_000);
    assert_eq!(wide(MAX_LEAVES).unwrap().leaf_count(), MAX_LEAVES);
    assert_eq!(wide(MAX_LEAVES + 1), Err(SchemaError::TooManyLeaves));
    assert_eq!(Structure::new(vec![Node::None; MAX_NODES + 1]), Err(SchemaError::TooManyNodes));
}

#[test]
fn nodes_must_be_one_tree() {
    let broken = [
        vec![],
        vec![Node::Leaf, Node::Leaf],
        vec![Node::List(0), Node::Leaf],
        vec![Node::List(2), Node::Leaf],
        vec![Node::List(1), Node::Leaf, Node::Leaf],
        vec![Node::List(usize::MAX), Node::Leaf],
        vec![Node::Tuple(1), Node::List(usize::MAX), Node::Leaf],
    ];
    for nodes in broken {
        assert_eq!(Structure::new(nodes.clone()), Err(SchemaError::NotOneTree), "{nodes:?}");
    }
}

#[test]
fn names_must_differ_and_the_message_says_where() {
    let twice = vec![Node::Dict(names(&["a"])), Node::Dict(names(&["b", "b"])), Node::Leaf, Node::Leaf];
    let error = Structure::new(twice).unwrap_err();
    assert_eq!(error.to_string(), "a: it names 'b' twice");
    let twice = vec![Node::Attrs { class: class(), fields: fields(&["x", "x"]) }, Node::Leaf, Node::Leaf];
    assert_eq!(Structure::new(twice).unwrap_err().to_string(), "(root): it names x twice");

    let mut key = Key::None;
    for _ in 0..=MAX_KEY_DEPTH {
        key = Key::Tuple(vec![key]);
    }
    let deep = vec![Node::Dict(vec![key]), Node::Leaf];
    assert!(matches!(Structure::new(deep), Err(SchemaError::KeyTooDeep { .. })));
}

#[test]
fn leaves_that_contradict_themselves_are_refused() {
    let leaf = |dtype: &str, shape: &[usize], kind| {
        let spec = LeafSpec { kind, ..array(dtype, shape) };
        Schema::new(Structure::leaf(), vec![spec]).map(|schema| schema.item_nbytes())
    };
    assert_eq!(leaf("float32", &[], LeafKind::NumpyScalar), Ok(4));
    assert_eq!(leaf("int64", &[], LeafKind::Int), Ok(8));
    assert_eq!(leaf("uint8", &[0, usize::MAX >> 1], LeafKind::Array), Ok(0));
    for (dtype, shape, kind) in [
        ("float32", &[1][..], LeafKind::NumpyScalar),
        ("int32", &[], LeafKind::Int),
        ("uint8", &[1 << 32, 1 << 32], LeafKind::Array),
        ("uint8", &[0, 1 << 32, 1 << 32], LeafKind::Array),
        ("uint8", &[0, usize::MAX], LeafKind::Array),
    ] {
        assert!(matches!(leaf(dtype, shape, kind), Err(SchemaError::BadLeaf { .. })), "{dtype} {shape:?}");
    }
    let path = "(root)".to_owned();
    assert_eq!(leaf("uint8", &[1; 65], LeafKind::Array), Err(SchemaError::TooManyDimensions { path }));
    let counts = Schema::new(Structure::leaf(), vec![]);
    assert_eq!(counts, Err(SchemaError::LeafCount { structure: 1, leaves: 0 }));
    let structure = Structure::new(vec![Node::List(2), Node::Leaf, Node::Leaf]).unwrap();
    let half = array("uint8", &[usize::MAX >> 1]);
    assert_eq!(Schema::new(structure, vec![half.clone(), half]), Err(SchemaError::TooLarge));
}

#[test]
fn a_tree_without_leaves_is_a_schema() {
    for nodes in [vec![Node::None], vec![Node::Dict(vec![])], vec![Node::Tuple(2), Node::None, Node::List(0)]]
    {
        let schema = schema_of(nodes).unwrap();
        assert_eq!((schema.leaves().len(), schema.item_nbytes()), (0, 0));
        assert_eq!(Schema::from_json(&schema.to_json()), Ok(schema));
    }
}

/// Pins the text and the hash: a change of either makes participants of two versions disagree.
#[test]
fn json_and_fingerprint_never_change_within_a_version() {
    let keys = vec![
        Key::Str("obs".to_owned()),
        Key::Int(3),
        Key::from_f64(f64::NAN),
        Key::Bool(false),
        Key::None,
        Key::Bytes(vec![0, 255]),
        Key::Tuple(vec![Key::Str("x".to_owned()), Key::Int(-1)]),
    ];
    let nodes = vec![
        Node::DefaultDict { factory: Some(ClassPath::new("builtins", "list")), keys },
        Node::Leaf,
        Node::None,
        Node::OrderedDict(vec![]),
        Node::List(1),
        Node::Leaf,
        Node::Tuple(0),
        Node::Dataclass { class: class(), fields: fields(&["x"]) },
        Node::Leaf,
        Node::Custom { class: class(), aux: Key::None, children: 1 },
        Node::Leaf,
    ];
    let x = Field {
        name: "x".to_owned(),
        title: None,
        dtype: Dtype::from_name(">f4").unwrap(),
        shape: vec![3],
        offset: 4,
    };
    let record = Dtype::Structured(Structured::new(vec![x], 16, true).unwrap());
    let leaves = vec![
        array("bfloat16", &[84, 84]),
        LeafSpec::new(Dtype::from_name("int64").unwrap(), vec![], LeafKind::Int),
        LeafSpec::new(Dtype::from_name("datetime64[ns]").unwrap(), vec![], LeafKind::NumpyScalar),
        LeafSpec::new(record, vec![0], LeafKind::Array),
    ];
    let schema = Schema::new(Structure::new(nodes).unwrap(), leaves).unwrap();
    let expected = concat!(
        r#"{"version":1,"nodes":["#,
        r#"{"defaultdict":{"factory":"builtins:list","keys":["obs",{"int":"3"},{"float":"7ff8000000000000"},"#,
        r#"{"bool":false},{"none":[]},{"bytes":"00ff"},{"tuple":["x",{"int":"-1"}]}]}},"#,
        r#""leaf","none",{"ordereddict":[]},{"list":1},"leaf",{"tuple":0},"#,
        r#"{"dataclass":{"class":"game.state:Game.State","fields":["x"]}},"leaf","#,
        r#"{"custom":{"class":"game.state:Game.State","aux":{"none":[]},"children":1}},"leaf"],"#,
        r#""leaves":[{"dtype":"bfloat16","shape":[84,84]},{"dtype":"int64","kind":"int"},"#,
        r#"{"dtype":"datetime64[ns]","kind":"numpy_scalar"},"#,
        r#"{"dtype":{"fields":[{"name":"x","dtype":">f4","shape":[3],"offset":4}],"itemsize":16,"aligned":true},"#,
        r#""shape":[0]}]}"#,
    );
    assert_eq!(schema.to_json(), expected);
    assert_eq!(Schema::from_json(expected).as_ref(), Ok(&schema));
    assert_eq!(schema.fingerprint(), 0x1291_dc1b_c7e7_9add);
}

#[test]
fn an_ordinary_leaf_takes_fewer_than_150_bytes_of_json() {
    let keys: Vec<Key> = (0..1000).map(|i| Key::Str(format!("observation_of_agent_{i}"))).collect();
    let mut nodes = vec![Node::Dict(keys)];
    nodes.extend(vec![Node::Leaf; 1000]);
    let leaves = vec![array("datetime64[25us]", &[1000, 1000, 1000, 3]); 1000];
    let schema = Schema::new(Structure::new(nodes).unwrap(), leaves).unwrap();
    assert!(schema.to_json().len() < 150 * 1000);
}

#[test]
fn another_version_is_named_and_other_text_refused() {
    let later = r#"{"version":2,"tree":[]}"#;
    assert_eq!(Schema::from_json(later), Err(SchemaError::Version(2)));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_key = format!(r#"{{"version":1,"nodes":[{{"dict":[{}"#, r#"{"tuple":["#.repeat(10_000));
    let deep_dtype =
        format!(r#"{{"version":1,"nodes":[],"leaves":[{}"#, r#"{"dtype":{"fields":["#.repeat(10_000));
    let huge = r#"{"version":1,"nodes":[{"list":18446744073709551615},"leaf"],"leaves":[{"dtype":"bool"}]}"#;
    let unknown = r#"{"version":1,"nodes":["leaf"],"leaves":[{"dtype":"bool","units":"m"}]}"#;
    let object = r#"{"version":1,"nodes":["leaf"],"leaves":[{"dtype":"object"}]}"#;
    let vast =
        r#"{"version":1,"nodes":["leaf"],"leaves":[{"dtype":"bool","shape":[9223372036854775807,3]}]}"#;
    let outside = r#"{"version":1,"nodes":["leaf"],"leaves":[{"dtype":{"fields":[{"name":"x","dtype":"int8",
        "offset":18446744073709551615}],"itemsize":4}}]}"#;
    for text in ["", "null", "{}", &deep, &deep_key, &deep_dtype, huge, unknown, object, vast, outside] {
        assert!(Schema::from_json(text).is_err(), "{}", &text[..text.len().min(100)]);
    }
}

fn key() -> impl Strategy<Value = Key> {
    let plain = prop_oneof![
        Just(Key::None),
        any::<bool>().prop_map(Key::Bool),
        any::<i128>().prop_map(Key::Int),
        any::<u64>().prop_map(Key::Float),
        any::<String>().prop_map(Key::Str),
        any::<Vec<u8>>().prop_map(Key::Bytes),
    ];
    plain.prop_recursive(3, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Key::Tuple))
}

fn dtype() -> impl Strategy<Value = Dtype> {
    let names = ["bool", "uint8", "float128", "bfloat16", ">i4", "S3", "U7", "V1", "datetime64[3D]", ">m8"];
    let plain = prop::sample::select(names.to_vec()).prop_map(|name| Dtype::from_name(name).unwrap());
    plain.prop_recursive(3, 8, 3, |inner| {
        let field = (inner, prop::collection::vec(0_usize..4, 0..3), prop::option::of(any::<String>()));
        (prop::collection::vec(field, 0..4), any::<bool>()).prop_map(|(parts, aligned)| {
            let mut offset = 0;
            let mut fields = Vec::new();
            for (i, (dtype, shape, title)) in parts.into_iter().enumerate() {
                let end = offset + dtype.itemsize() * shape.iter().product::<usize>();
                fields.push(Field { name: format!("f{i}"), title, dtype, shape, offset });
                offset = end + i;
            }
            Dtype::Structured(Structured::new(fields, offset, aligned).unwrap())
        })
    })
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let childless = prop_oneof![4 => Just(Node::Leaf), 1 => Just(Node::None)];
    childless.prop_map(|node| vec![node]).prop_recursive(5, 64, 5, |inner| {
        let children = prop::collection::vec((inner, key(), any::<String>()), 0..5);
        (children, 0..9_u8, key()).prop_map(|(mut children, kind, aux)| {
            let mut seen = std::collections::HashSet::new();
            children.retain(|(_, key, _)| seen.insert(key.clone()));
            let mut seen = std::collections::HashSet::new();
            children.retain(|(_, _, field)| seen.insert(field.clone()));
            let keys: Vec<Key> = children.iter().map(|(_, key, _)| key.clone()).collect();
            let fields: Vec<String> = children.iter().map(|(_, _, field)| field.clone()).collect();
            let class = ClassPath::new("a.b", "C.D");
            let parent = match kind {
                0 => Node::Dict(keys),
                1 => Node::OrderedDict(keys),
                2 => Node::DefaultDict { factory: None, keys },
                3 => Node::List(children.len()),
                4 => Node::Tuple(children.len()),
                5 => Node::NamedTuple { class, fields },
                6 => Node::Dataclass { class, fields },
                7 => Node::Attrs { class, fields },
                _ => Node::Custom { class, aux, children: children.len() },
            };
            std::iter::once(parent).chain(children.into_iter().flat_map(|(nodes, ..)| nodes)).collect()
        })
    })
}

fn schema() -> impl Strategy<Value = Schema> {
    (nodes(), prop::collection::vec((dtype(), prop::collection::vec(0_usize..9, 0..4)), 8)).prop_map(
        |(nodes, specs)| {
            let structure = Structure::new(nodes).unwrap();
            let leaves = specs.iter().cycle().take(structure.leaf_count());
            let leaves =
                leaves.map(|(dtype, shape)| LeafSpec::new(dtype.clone(), shape.clone(), LeafKind::Array));
            Schema::new(structure, leaves.collect()).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_schema_survives_its_json(schema in schema()) {
        let json = schema.to_json();
        let read = Schema::from_json(&json).unwrap();
        prop_assert_eq!(&read, &schema);
        prop_assert_eq!(read.to_json(), json);
        prop_assert_eq!(read.fingerprint(), schema.fingerprint());
    }

    /// Damage to the text gives an error or a schema that holds its own invariants, and never a panic.
    #[test]
    fn damaged_json_never_panics(
        schema in schema(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..8),
    ) {
        let mut bytes = schema.to_json().into_bytes();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"0123456789"[usize::from(byte) % 10],
                2 => bytes.insert(at, b"0123456789[]{}\",:-"[usize::from(byte) % 18]),
                _ => drop(bytes.drain(at..bytes.len().min(at + usize::from(byte % 16)))),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(read) = Schema::from_json(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(Schema::from_json(&read.to_json()), Ok(read));
        }
    }
}
