//! Which dtype of safetensors the elements of a leaf have.
//!
//! Those that safetensors lacks go as bytes: `U8`, with a last dimension of the element's bytes. The schema in the message's metadata says
//! what they are. So do elements in big-endian order, and those of `ml_dtypes` of less than a byte, which safetensors packs and NumPy does
//! not. A reader refuses a whole file for one dtype that it does not know, so what came to safetensors late (`C64`, the two `FNUZ`) goes as
//! bytes too.

use safetensors::Dtype as TensorDtype;
use treequeues::LeafSpec;
use treequeues::dtype::{ByteOrder, Dtype};

/// The tensor's dtype, and the dimensions of one item's part of it.
pub(crate) fn of(leaf: &LeafSpec) -> (TensorDtype, Vec<usize>) {
    let mut shape = leaf.shape.clone();
    let dtype = same(&leaf.dtype).unwrap_or_else(|| {
        shape.push(leaf.dtype.itemsize());
        TensorDtype::U8
    });
    (dtype, shape)
}

/// The dtype of safetensors with the same bytes.
fn same(dtype: &Dtype) -> Option<TensorDtype> {
    let Dtype::Number(number, ByteOrder::Little) = dtype else { return None };
    Some(match number.name() {
        "bool" => TensorDtype::BOOL,
        "int8" => TensorDtype::I8,
        "uint8" => TensorDtype::U8,
        "int16" => TensorDtype::I16,
        "uint16" => TensorDtype::U16,
        "int32" => TensorDtype::I32,
        "uint32" => TensorDtype::U32,
        "int64" => TensorDtype::I64,
        "uint64" => TensorDtype::U64,
        "float16" => TensorDtype::F16,
        "bfloat16" => TensorDtype::BF16,
        "float32" => TensorDtype::F32,
        "float64" => TensorDtype::F64,
        "float8_e5m2" => TensorDtype::F8_E5M2,
        "float8_e4m3fn" => TensorDtype::F8_E4M3,
        "float8_e8m0fnu" => TensorDtype::F8_E8M0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use treequeues::LeafKind;

    use super::*;

    fn of_name(name: &str) -> (TensorDtype, Vec<usize>) {
        of(&LeafSpec::new(Dtype::from_name(name).expect(name), vec![2, 3], LeafKind::Array))
    }

    #[test]
    fn elements_that_safetensors_knows_stay_what_they_are() {
        for name in ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float8_e4m3fn"] {
            let (dtype, shape) = of_name(name);
            assert_eq!(dtype.bitsize(), 8 * Dtype::from_name(name).unwrap().itemsize(), "{name}");
            assert_eq!(shape, [2, 3], "{name}");
        }
    }

    #[test]
    fn all_others_are_bytes() {
        for (name, nbytes) in [
            (">f4", 4),
            ("complex64", 8),
            ("float8_e4m3fnuz", 1),
            ("datetime64[ns]", 8),
            ("S5", 5),
            ("U2", 8),
            ("int4", 1),
            ("float4_e2m1fn", 1),
        ] {
            assert_eq!(of_name(name), (TensorDtype::U8, vec![2, 3, nbytes]), "{name}");
        }
    }
}
