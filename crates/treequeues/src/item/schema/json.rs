//! The JSON of a schema, which stands in the header of a segment.
//!
//! ```json
//! {"version":1,
//!  "nodes":[{"dict":["obs","action",{"int":"3"}]},"leaf","leaf",{"tuple":2},"leaf","none"],
//!  "leaves":[{"dtype":"uint8","shape":[84,84]},{"dtype":"int64","kind":"int"},{"dtype":"float32","shape":[3]}]}
//! ```
//!
//! - `nodes`: the structure in preorder, so the nesting of the JSON does not grow with the tree's depth. `"leaf"` and
//!   `"none"` stand alone; `dict` and `ordereddict` hold keys, `list` and `tuple` a number of children; `defaultdict`
//!   is `{"factory","keys"}`, `namedtuple`, `dataclass` and `attrs` are `{"class","fields"}`, `custom` is
//!   `{"class","aux","children"}`.
//! - keys: a string is a `str`; another key is an object that names its type, one of `{"none":[]}`, `{"bool":true}`,
//!   `{"int":"-3"}`, `{"float":"7ff8000000000000"}` (bits), `{"bytes":"00ff"}` and `{"tuple":[...]}`.
//! - `leaves`: the specs in the order of the leaves in `nodes`. `dtype` is a name, or an object of fields; `shape` is
//!   left out where it is `[]`, `kind` where it is `array`. Paths are not written, for they follow from the nodes.
//!
//! A reader refuses fields that it does not know: whoever adds one raises the version.

use serde::{Deserialize, Serialize};

use super::structure::{Node, Structure};
use super::{LeafKind, LeafSpec, Schema, SchemaError};
use crate::item::dtype::Dtype;

/// The version of the JSON that is written, and the only one that is read.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Serialize)]
struct SchemaJson<'a> {
    version: u64,
    nodes: &'a [Node],
    leaves: Vec<LeafJson<'a>>,
}

#[derive(Serialize)]
struct LeafJson<'a> {
    dtype: &'a Dtype,
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    shape: &'a [usize],
    #[serde(skip_serializing_if = "LeafKind::is_array")]
    kind: LeafKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedSchemaJson {
    #[serde(rename = "version")]
    _version: u64,
    nodes: Vec<Node>,
    leaves: Vec<OwnedLeafJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedLeafJson {
    dtype: Dtype,
    #[serde(default)]
    shape: Vec<usize>,
    #[serde(default)]
    kind: LeafKind,
}

pub(super) fn write(schema: &Schema) -> String {
    let leaves =
        schema.leaves.iter().map(|leaf| LeafJson { dtype: &leaf.dtype, shape: &leaf.shape, kind: leaf.kind });
    let json = SchemaJson { version: VERSION, nodes: schema.structure.nodes(), leaves: leaves.collect() };
    serde_json::to_string(&json)
        .expect("a schema holds strings, numbers and lists of them, which all are JSON")
}

pub(super) fn read(json: &str) -> Result<Schema, SchemaError> {
    let as_error = |error: serde_json::Error| SchemaError::Json(error.to_string());
    // The version comes first, or a schema of a later version is called malformed.
    let VersionOnly { version } = serde_json::from_str(json).map_err(as_error)?;
    if version != VERSION {
        return Err(SchemaError::Version(version));
    }
    let OwnedSchemaJson { nodes, leaves, .. } = serde_json::from_str(json).map_err(as_error)?;
    let leaves = leaves.into_iter().map(|leaf| LeafSpec::new(leaf.dtype, leaf.shape, leaf.kind));
    Schema::new(Structure::new(nodes)?, leaves.collect())
}
