//! The names of dtypes, their sizes, and the limits of structured ones.

use super::*;

fn field(name: &str, dtype: &str, shape: &[usize], offset: usize) -> Field {
    Field {
        name: name.to_owned(),
        title: None,
        dtype: Dtype::from_name(dtype).unwrap(),
        shape: shape.to_vec(),
        offset,
    }
}

#[test]
fn every_name_is_read_and_written_the_same() {
    let others = "datetime64 datetime64[ns] timedelta64[25us] timedelta64 S10 U5 V7 >f4 >c32 >i8 >M8[ns] >m8[3D] \
                  >m8 >U5 S2147483647 U536870911";
    let names = NUMBERS.iter().map(|number| number.name).chain(others.split(' '));
    for name in names {
        assert_eq!(Dtype::from_name(name).unwrap().to_string(), name);
    }
}

#[test]
fn names_that_numpy_would_spell_otherwise_are_refused() {
    let bad = "|>|object|O|f4|<f4|>f3|>u1|>b1|>S3|>float32|S|S01|S+1|S-1|S1 |datetime64[]|datetime64[1ns]|\
               datetime64[0ns]|datetime64[ns|datetime64[xs]|timedelta64[007s]|datetime64[99999999999ns]|U|>M8[|\
               V18446744073709551616000|>bfloat16";
    for name in bad.split('|') {
        assert_eq!(Dtype::from_name(name), Err(DtypeError::UnknownName(name.to_owned())), "{name}");
    }
    for name in ["S0", "U0", ">U0", "V0", "S2147483648", "U536870912"] {
        assert!(matches!(Dtype::from_name(name), Err(DtypeError::BadItemsize(_))), "{name}");
    }
}

#[test]
fn sizes_are_numpys() {
    let sizes = [("float128", 16, 16), ("complex64", 8, 4), (">i2", 2, 2), ("U5", 20, 4), ("S5", 5, 1)];
    for (name, itemsize, alignment) in sizes {
        let dtype = Dtype::from_name(name).unwrap();
        assert_eq!((dtype.itemsize(), dtype.alignment()), (itemsize, alignment), "{name}");
    }
}

#[test]
fn fields_must_lie_inside_and_differ() {
    let inside = vec![field("x", "float32", &[], 0), field("y", "int16", &[2, 3], 4)];
    let structured = Structured::new(inside.clone(), 16, true).unwrap();
    assert_eq!(structured.to_string(), "{x: float32, y: int16 (2, 3)}");
    assert_eq!((structured.alignment(), structured.aligned()), (4, true));
    assert_eq!(Structured::new(inside.clone(), 15, false), Err(DtypeError::FieldOutside("y".to_owned())));

    let twice = vec![field("x", "int8", &[], 0), field("x", "int8", &[], 1)];
    assert_eq!(Structured::new(twice, 2, false), Err(DtypeError::DuplicateField("x".to_owned())));
    let huge = vec![field("x", "int8", &[usize::MAX, usize::MAX], 0)];
    assert_eq!(Structured::new(huge, 9, false), Err(DtypeError::FieldOutside("x".to_owned())));
    let flat = vec![field("x", "int8", &[1; 65], 0)];
    assert_eq!(Structured::new(flat, 9, false), Err(DtypeError::TooManyDimensions("x".to_owned())));
}

#[test]
fn nesting_of_structured_dtypes_is_bounded() {
    let mut dtype = Dtype::from_name("int8").unwrap();
    for depth in 0..MAX_DTYPE_DEPTH + 1 {
        let field = Field { name: "x".to_owned(), title: None, dtype, shape: vec![], offset: 0 };
        match Structured::new(vec![field], 1, false) {
            Ok(structured) => dtype = Dtype::Structured(structured),
            Err(error) => {
                assert_eq!((error, depth), (DtypeError::TooDeep, MAX_DTYPE_DEPTH));
                return;
            }
        }
    }
    panic!("a dtype nested {} deep was taken", MAX_DTYPE_DEPTH + 1);
}

#[test]
fn u8_stands_for_bool_and_no_type_for_swapped_bytes() {
    let bool_dtype = Dtype::from_name("bool").unwrap();
    assert!(u8::stands_for(&bool_dtype) && u8::stands_for(&u8::dtype()));
    assert!(!i8::stands_for(&bool_dtype));
    assert!(f32::stands_for(&f32::dtype()) && !f32::stands_for(&Dtype::from_name(">f4").unwrap()));
}

#[test]
fn a_dtype_says_its_order_its_number_and_its_step_without_its_name() {
    let dtype = |name| Dtype::from_name(name).unwrap();
    for (name, order) in [("int8", Some(ByteOrder::Little)), (">f4", Some(ByteOrder::Big)), ("S3", None)] {
        assert_eq!(dtype(name).byte_order(), order, "{name}");
    }
    assert!(matches!(dtype(">f4"), Dtype::Number(number, _) if number.name() == "float32"));
    let step = |name| dtype(name).time_step().map(|step| (step.count(), step.unit()));
    assert_eq!(step(">M8[25us]"), Some((25, "us")));
    assert_eq!(step("timedelta64[D]"), Some((1, "D")));
    assert_eq!([step("datetime64"), step("int64")], [None, None]);
}
