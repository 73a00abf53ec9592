//! One item in and out, nobody else there: what the protocol itself costs, beside a queue that survives nothing.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use treequeues::{Dtype, LeafKind, LeafSpec, Queue, Schema, Structure};

const CAPACITY: u64 = 10;

fn pair(criterion: &mut Criterion) {
    let leaf = LeafSpec::new(Dtype::from_name("int64").expect("NumPy's name"), vec![8], LeafKind::Array);
    let schema = Schema::new(Structure::leaf(), vec![leaf]).expect("one leaf");
    let queue = Queue::create(schema, CAPACITY).expect("a few pages");
    let mut group = criterion.benchmark_group("pair");
    group.bench_function("treequeues reserve+commit+borrow+release", |bencher| {
        bencher.iter(|| {
            let mut loan = queue.try_reserve().expect("free");
            black_box(loan.leaf_bytes_mut(0))[0] = 1;
            loan.commit().expect("sound");
            let loan = queue.try_borrow().expect("an item");
            black_box(loan.leaf_bytes(0)[0]);
            loan.release().expect("sound");
        });
    });
    let ring = ArrayQueue::new(CAPACITY as usize);
    group.bench_function("crossbeam ArrayQueue push+pop", |bencher| {
        bencher.iter(|| {
            ring.push(black_box([1_u8; 64])).expect("free");
            black_box(ring.pop().expect("an item"));
        });
    });
    group.finish();
}

criterion_group!(benches, pair);
criterion_main!(benches);
