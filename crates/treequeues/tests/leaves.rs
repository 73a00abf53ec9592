//! The rows of loans and batches as typed slices: what is found, what is refused, and what the messages say.

use treequeues::{
    BatchSize, Dtype, LeafError, LeafKind, LeafSpec, Queue, ReadBatch, ReadLoan, Schema, SchemaBuilder, Wait,
    WriteBatch, WriteLoan,
};

fn queue(schema: Schema) -> Queue {
    Queue::create_local(schema, 4).expect("small")
}

fn transition() -> Schema {
    let time = LeafSpec::new(Dtype::from_name("datetime64[ns]").unwrap(), vec![], LeafKind::NumpyScalar);
    let schema = Schema::builder()
        .nested("obs", |obs| obs.array::<u8>("left", [2, 3]).array::<f32>("right", [2]))
        .array::<bool>("legal", [3])
        .scalar::<f64>("reward")
        .array::<u16>("nothing", [0, 5])
        .leaf("time", time);
    schema.build().unwrap()
}

fn reserve(queue: &Queue) -> WriteLoan<'_> {
    queue.try_reserve().expect("a free slot")
}

fn borrow(queue: &Queue) -> ReadLoan<'_> {
    queue.try_borrow().expect("an item")
}

/// An empty queue whose next batch goes past the ring's end.
fn queue_at_its_seam(schema: Schema) -> Queue {
    let queue = queue(schema);
    for _ in 0..3 {
        reserve(&queue).commit().unwrap();
        borrow(&queue).release().unwrap();
    }
    queue
}

fn reserve_batch(queue: &Queue) -> WriteBatch<'_> {
    queue.try_reserve_batch(BatchSize::exactly(3)).expect("free slots")
}

fn borrow_batch(queue: &Queue) -> ReadBatch<'_> {
    queue.borrow_batch_with(BatchSize::exactly(3), Wait::forever()).expect("items")
}

#[test]
fn what_is_written_by_path_is_read_by_number_and_back() {
    let queue = queue(transition());
    let mut loan = reserve(&queue);
    loan.leaf_mut("obs.left").unwrap().copy_from_slice(&[1_u8, 2, 3, 4, 5, 6]);
    loan.leaf_mut(1).unwrap().copy_from_slice(&[0.5_f32, -0.5]);
    loan.set_bools(&"legal".to_owned(), &[true, false, true]).unwrap();
    loan.leaf_mut("reward").unwrap()[0] = f64::MIN_POSITIVE;
    loan.commit().unwrap();

    let item = borrow(&queue);
    assert_eq!(item.leaf::<u8>(0).unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(item.leaf::<f32>("obs.right").unwrap(), [0.5, -0.5]);
    assert_eq!(item.bools(2).unwrap(), [true, false, true]);
    assert_eq!(item.leaf::<u8>("legal").unwrap(), [1, 0, 1]);
    assert_eq!(item.leaf::<f64>(3).unwrap(), [f64::MIN_POSITIVE]);
}

#[test]
fn leaves_without_bytes_are_empty_slices() {
    let queue = queue(transition());
    let mut loan = reserve(&queue);
    assert_eq!(loan.leaf_mut::<u16>("nothing").unwrap().len(), 0);
    loan.commit().unwrap();
    assert_eq!(borrow(&queue).leaf::<u16>("nothing").unwrap(), [0_u16; 0]);
}

#[test]
fn another_dtype_is_refused_with_both() {
    let queue = queue(transition());
    let mut loan = reserve(&queue);
    let message = |result: Result<&mut [f32], LeafError>| result.unwrap_err().to_string();
    assert_eq!(message(loan.leaf_mut("obs.left")), "obs.left: asked for float32, but its elements are uint8");
    assert_eq!(
        message(loan.leaf_mut("time")),
        "time: asked for float32, but its elements are datetime64[ns]"
    );
    assert!(loan.leaf_mut::<i64>("time").is_err(), "no number stands for a point in time");
    let bools = loan.set_bools("obs.left", &[true; 6]).unwrap_err();
    assert_eq!(bools.to_string(), "obs.left: asked for bool, but its elements are uint8");
    assert!(loan.leaf_mut::<i8>("legal").is_err(), "bools are bytes, and i8 is not what stands for them");
}

#[test]
fn big_endian_elements_are_no_numbers_of_rust() {
    let leaf = LeafSpec::new(Dtype::from_name(">f4").unwrap(), vec![2], LeafKind::Array);
    let queue = queue(Schema::builder().leaf("x", leaf).build().unwrap());
    let error = reserve(&queue).leaf_mut::<f32>("x").map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "x: asked for float32, but its elements are >f4");
}

#[test]
fn a_leaf_that_is_not_there_is_refused_with_those_that_are() {
    let transitions = queue(transition());
    reserve(&transitions).commit().unwrap();
    let item = borrow(&transitions);
    let message = |result: Result<&[u8], LeafError>| result.unwrap_err().to_string();
    let there = "the leaves are obs.left, obs.right, legal, reward, nothing, time";
    assert_eq!(message(item.leaf("obs")), format!("there is no leaf \"obs\": {there}"));
    assert_eq!(message(item.leaf(6)), format!("there is no leaf 6: {there}"));

    let wide = (0..1000).fold(Schema::builder(), |schema, i| schema.scalar::<u8>(format!("x{i}")));
    let wide = queue(wide.build().unwrap());
    let error = reserve(&wide).leaf_mut::<u8>("y").map(|_| ()).unwrap_err().to_string();
    assert!(error.ends_with("x8, x9, 990 more"), "{error}");

    let single = queue(Schema::array::<u8>([2]).unwrap());
    let error = reserve(&single).leaf_mut::<u8>(1).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "there is no leaf 1: the only leaf is (root)");
    let empty = queue(Schema::builder().build().unwrap());
    let error = reserve(&empty).leaf_mut::<u8>("x").map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "there is no leaf \"x\": the items have no leaves");
}

#[test]
fn two_leaves_of_one_shortened_path_are_told_apart_by_number_alone() {
    /// So many dicts in each other, under keys so long that what is in the middle is left out of the path.
    fn wrap(
        builder: SchemaBuilder,
        depth: usize,
        inner: &dyn Fn(SchemaBuilder) -> SchemaBuilder,
    ) -> SchemaBuilder {
        if depth == 0 {
            return inner(builder);
        }
        builder.nested("k".repeat(70), |builder| wrap(builder, depth - 1, inner))
    }
    let last = |builder: SchemaBuilder| wrap(builder, 5, &|builder| builder.scalar::<u8>("x"));
    let both = |builder: SchemaBuilder| builder.nested("a", last).nested("b", last);
    let schema = wrap(Schema::builder(), 5, &both).build().unwrap();
    assert_eq!(schema.leaves()[0].path, schema.leaves()[1].path);

    let path = schema.leaves()[0].path.clone();
    let queue = queue(schema);
    let mut loan = reserve(&queue);
    assert!(matches!(loan.leaf_mut::<u8>(&path), Err(LeafError::Ambiguous { .. })));
    assert!(loan.leaf_mut::<u8>(1).is_ok());
}

#[test]
fn bytes_that_are_no_bools_are_errors_and_not_bools() {
    let queue = queue(transition());
    let mut loan = reserve(&queue);
    loan.leaf_mut::<u8>("legal").unwrap().copy_from_slice(&[1, 255, 2]);
    loan.commit().unwrap();
    let item = borrow(&queue);
    let error = item.bools("legal").unwrap_err();
    assert_eq!(error.to_string(), "legal: element 1 is the byte 255, which is no bool");
    assert_eq!(item.leaf::<u8>("legal").unwrap(), [1, 255, 2], "the bytes themselves can still be read");
}

#[test]
fn more_or_fewer_bools_than_the_leaf_has_are_refused() {
    let queue = queue(transition());
    let mut loan = reserve(&queue);
    loan.set_bools("legal", &[true; 3]).unwrap();
    for count in [0, 2, 4] {
        let error = loan.set_bools("legal", &vec![false; count]).unwrap_err();
        assert_eq!(error.to_string(), format!("legal: it has 3 elements, got {count}"));
    }
    assert_eq!(loan.leaf_mut::<u8>("legal").unwrap(), [1, 1, 1], "a refused call changes nothing");
}

#[test]
fn batches_have_typed_rows_and_runs_on_both_sides_of_the_seam() {
    let queue = queue_at_its_seam(transition());
    let mut batch = reserve_batch(&queue);
    let mut seen = Vec::new();
    batch
        .for_each_run_of::<f32>("obs.right", |first, run| {
            seen.push((first, run.len()));
            run.iter_mut().zip(first * 2..).for_each(|(element, number)| *element = number as f32);
        })
        .unwrap();
    assert_eq!(seen, [(0, 2), (1, 4)]);
    for item in 0..3 {
        batch.leaf_mut::<f64>(item, "reward").unwrap()[0] = item as f64;
        batch.set_bools(item, "legal", &[item == 0, item == 1, item == 2]).unwrap();
    }
    batch.commit().unwrap();

    let batch = borrow_batch(&queue);
    let runs: Vec<_> = batch.runs_of::<f32>("obs.right").unwrap().collect();
    assert_eq!(runs, [(0, &[0.0, 1.0][..]), (1, &[2.0, 3.0, 4.0, 5.0][..])]);
    for item in 0..3 {
        assert_eq!(batch.leaf::<f32>(item, 1).unwrap(), [item as f32 * 2.0, item as f32 * 2.0 + 1.0]);
        assert_eq!(batch.leaf::<f64>(item, "reward").unwrap(), [item as f64]);
        assert_eq!(batch.bools(item, "legal").unwrap(), [item == 0, item == 1, item == 2]);
    }
    let nothing: Vec<_> = batch.runs_of::<u16>("nothing").unwrap().collect();
    assert_eq!(nothing, [(0, &[][..]), (1, &[][..])]);
}

#[test]
fn batches_refuse_what_loans_refuse() {
    let queue = queue(transition());
    let mut batch = reserve_batch(&queue);
    assert!(matches!(batch.leaf_mut::<u8>(0, "reward"), Err(LeafError::Dtype { .. })));
    assert!(matches!(
        batch.for_each_run_of::<u8>("x", |_, _| unreachable!()),
        Err(LeafError::Missing { .. })
    ));
    assert!(matches!(batch.set_bools(0, "legal", &[]), Err(LeafError::Length { there: 3, got: 0, .. })));
    batch.for_each_run_of::<u8>("legal", |_, run| run.fill(7)).unwrap();
    batch.commit().unwrap();
    let batch = borrow_batch(&queue);
    assert!(matches!(batch.leaf::<u8>(0, "reward"), Err(LeafError::Dtype { .. })));
    assert!(matches!(batch.runs_of::<u8>(9).map(|_| ()), Err(LeafError::Missing { .. })));
    assert!(matches!(batch.bools(2, "legal"), Err(LeafError::NotBool { element: 0, byte: 7, .. })));
}

#[test]
fn the_rows_of_a_batch_are_one_slice_where_they_lie_side_by_side() {
    let whole = queue(transition());
    let mut batch = reserve_batch(&whole);
    batch.rows_mut::<f64>("reward").unwrap().copy_from_slice(&[0.0, 1.0, 2.0]);
    assert_eq!(batch.rows_mut::<u16>("nothing").unwrap().len(), 0);
    batch.commit().unwrap();
    let batch = borrow_batch(&whole);
    assert_eq!(batch.rows::<f64>("reward").unwrap(), [0.0, 1.0, 2.0]);
    assert_eq!(batch.rows::<u16>("nothing").unwrap(), [0_u16; 0]);
    assert!(matches!(batch.rows::<f32>("reward"), Err(LeafError::Dtype { .. })));

    let torn = queue_at_its_seam(transition());
    let mut batch = reserve_batch(&torn);
    let error = batch.rows_mut::<f64>("reward").map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("`BatchSize::side_by_side`"), "{error}");
    assert_eq!(batch.rows_mut::<u16>("nothing"), Err(LeafError::Scattered), "whatever the rows' size");
    batch.commit().unwrap();
    assert_eq!(borrow_batch(&torn).rows::<f64>("reward"), Err(LeafError::Scattered));
}

#[cfg(feature = "ndarray")]
mod arrays {
    use ndarray::{Array, Ix2, array};

    use super::*;

    #[test]
    fn leaves_are_arrays_of_their_shape_in_c_order() {
        let queue = queue(transition());
        let mut loan = reserve(&queue);
        loan.array_mut::<u8>("obs.left").unwrap().assign(&array![[1, 2, 3], [4, 5, 6]]);
        loan.array_mut("reward").unwrap()[[]] = 0.5_f64;
        loan.commit().unwrap();
        let item = borrow(&queue);
        assert_eq!(item.leaf::<u8>("obs.left").unwrap(), [1, 2, 3, 4, 5, 6]);
        let left = item.array::<u8>(0).unwrap().into_dimensionality::<Ix2>().unwrap();
        assert_eq!(left.row(1), array![4, 5, 6]);
        assert_eq!(item.array::<f64>("reward").unwrap(), Array::from_elem((), 0.5).into_dyn());
        assert_eq!(item.array::<u16>("nothing").unwrap().shape(), [0, 5]);
    }

    #[test]
    fn arrays_refuse_what_slices_refuse() {
        let queue = queue(transition());
        let mut loan = reserve(&queue);
        assert!(matches!(loan.array_mut::<u8>("reward"), Err(LeafError::Dtype { .. })));
        assert!(matches!(loan.array_mut::<u8>("x"), Err(LeafError::Missing { .. })));
        loan.commit().unwrap();
        assert!(matches!(borrow(&queue).array::<u8>("reward"), Err(LeafError::Dtype { .. })));
    }

    #[test]
    fn batches_side_by_side_are_stacked_arrays_and_others_say_what_to_do() {
        let whole = queue(transition());
        let mut batch = reserve_batch(&whole);
        batch.stack_mut::<f32>("obs.right").unwrap().assign(&array![[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]);
        batch.array_mut(2, "reward").unwrap()[[]] = 2.5_f64;
        assert_eq!(batch.stack_mut::<u16>("nothing").unwrap().shape(), [3, 0, 5]);
        batch.commit().unwrap();
        let batch = borrow_batch(&whole);
        let right = array![[0.0_f32, 1.0], [2.0, 3.0], [4.0, 5.0]].into_dyn();
        assert_eq!(batch.stack::<f32>("obs.right").unwrap(), right);
        assert_eq!(batch.array::<f32>(1, "obs.right").unwrap(), array![2.0, 3.0].into_dyn());
        assert_eq!(batch.stack::<f64>("reward").unwrap()[[2]], 2.5);

        let torn = queue_at_its_seam(transition());
        let mut batch = reserve_batch(&torn);
        assert_eq!(batch.stack_mut::<f32>("obs.right"), Err(LeafError::Scattered));
        batch.commit().unwrap();
        assert_eq!(borrow_batch(&torn).stack::<f32>("obs.right"), Err(LeafError::Scattered));
    }

    #[test]
    fn lengths_beyond_the_address_space_are_an_error_once_stacked() {
        let schema = Schema::builder().array::<u8>("x", [0, usize::MAX / 2]).build().unwrap();
        let queue = queue(schema);
        let mut batch = reserve_batch(&queue);
        assert!(batch.array_mut::<u8>(0, "x").is_ok());
        assert_eq!(batch.stack_mut::<u8>("x"), Err(LeafError::TooLarge));
    }
}
