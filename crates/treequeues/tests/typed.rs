//! Queues of Rust types: what a type is as a tree, what goes in and out, and what is refused.
#![cfg(feature = "derive")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;
use treequeues::schema::{ClassPath, Key, Node, Subtree};
use treequeues::{
    BorrowError, CreateError, Dtype, LeafError, LeafKind, LeafReader, LeafSpec, LeafWriter, PopError, Queue,
    ReserveError, Schema, Structure, Tree, TypedQueue, Wait,
};

/// Far longer than anything takes that waits with it.
const WATCHDOG: Duration = Duration::from_secs(20);

#[derive(Tree, Clone, Copy, Debug, PartialEq)]
struct State {
    position: [f64; 3],
    mass: f64,
}

#[derive(Tree, Clone, Copy, Debug, PartialEq)]
struct Transition {
    frame: [[[u8; 3]; 4]; 2],
    state: State,
    legal: [bool; 5],
    #[tree(rename = "terminal")]
    done: bool,
    r#type: u16,
    reward: f64,
    nothing: [f32; 0],
}

const TRANSITION: Transition = Transition {
    frame: [[[1, 2, 3]; 4], [[4, 5, 6]; 4]],
    state: State { position: [0.5, -0.0, f64::MAX], mass: 2.0 },
    legal: [true, false, false, true, true],
    done: true,
    r#type: 40_000,
    reward: -1.5,
    nothing: [],
};

fn local(schema: Schema) -> Queue {
    Queue::create_local(schema, 4).expect("small")
}

fn typed<T: Tree>() -> TypedQueue<T> {
    TypedQueue::over(local(T::schema())).expect("made for the type")
}

fn array<T: treequeues::Scalar>(shape: &[usize]) -> LeafSpec {
    LeafSpec::array_of::<T>(shape)
}

/// A dataclass of floats in Python.
fn dataclass(fields: &[&str]) -> Schema {
    let fields: Vec<String> = fields.iter().map(|&name| name.to_owned()).collect();
    let count = fields.len();
    let mut nodes = vec![Node::Dataclass { class: ClassPath::new("game", "State"), fields }];
    nodes.extend(vec![Node::Leaf; count]);
    Schema::new(Structure::new(nodes).unwrap(), vec![LeafSpec::scalar_of::<f64>(); count]).unwrap()
}

#[test]
fn a_struct_is_a_dict_of_its_fields() {
    let expected = Schema::builder()
        .array::<u8>("frame", [2, 4, 3])
        .nested("state", |state| state.array::<f64>("position", [3]).scalar::<f64>("mass"))
        .array::<bool>("legal", [5])
        .scalar::<bool>("terminal")
        .scalar::<u16>("type")
        .scalar::<f64>("reward")
        .array::<f32>("nothing", [0])
        .build()
        .unwrap();
    assert_eq!(Transition::schema(), expected);
}

#[test]
fn arrays_and_numbers_are_trees_by_themselves() {
    assert_eq!(<[[i16; 2]; 3]>::schema(), Schema::array::<i16>([3, 2]).unwrap());
    assert_eq!(f64::schema().leaves()[0].to_string(), "a float");
    let queue = typed::<[[bool; 2]; 3]>();
    let item = [[true, false], [false, false], [false, true]];
    queue.try_push(&item).unwrap();
    assert_eq!(queue.try_pop().unwrap(), item);
}

#[test]
fn what_goes_in_comes_out_in_order() {
    let queue = typed::<Transition>();
    queue.push(&TRANSITION).unwrap();
    queue.push(&Transition { done: false, ..TRANSITION }).unwrap();
    assert_eq!(queue.pop().unwrap(), TRANSITION);
    let mut item = Transition::ZERO;
    queue.pop_into(&mut item, Wait::forever()).unwrap();
    assert_eq!(item, Transition { done: false, ..TRANSITION });
}

#[test]
fn rows_are_those_that_untyped_calls_see() {
    let queue = typed::<Transition>();
    queue.push(&TRANSITION).unwrap();
    let loan = queue.queue().try_borrow().unwrap();
    assert_eq!(loan.leaf::<u8>("frame").unwrap(), TRANSITION.frame.as_flattened().as_flattened());
    assert_eq!(loan.leaf::<f64>("state.position").unwrap(), TRANSITION.state.position);
    assert_eq!(loan.bools("legal").unwrap(), TRANSITION.legal);
    assert_eq!(loan.leaf::<u16>("type").unwrap(), [40_000]);
}

#[test]
fn a_struct_without_fields_is_an_empty_dict() {
    #[derive(Tree)]
    struct Tick {}

    let queue = typed::<Tick>();
    queue.try_push(&Tick {}).unwrap();
    let Tick {} = queue.try_pop().unwrap();
    assert!(matches!(queue.try_pop(), Err(PopError::Borrow(BorrowError::Empty))));
}

#[test]
fn structs_may_have_parameters() {
    #[derive(Tree, Debug, PartialEq)]
    struct Pair<T: Copy, U>
    where
        U: PartialEq,
    {
        left: T,
        right: U,
    }

    #[derive(Tree, Clone, Copy, Debug, PartialEq)]
    struct Frame<const H: usize, const W: usize> {
        pixels: [[u8; W]; H],
    }

    let queue = typed::<Pair<Frame<2, 3>, [i8; 2]>>();
    assert_eq!(queue.queue().schema().leaves()[0].path, "left.pixels");
    assert_eq!(queue.queue().schema().leaves()[0].shape, [2, 3]);
    let pair = Pair { left: Frame { pixels: [[1, 2, 3], [4, 5, 6]] }, right: [-1, 1] };
    queue.try_push(&pair).unwrap();
    assert_eq!(queue.try_pop().unwrap(), pair);
}

#[test]
fn types_may_come_out_of_macros() {
    #[allow(dead_code, non_upper_case_globals)]
    const leaves: usize = 3;
    macro_rules! item {
        ($name:ident, $ty:ty) => {
            #[derive(Tree, Debug, PartialEq)]
            struct $name {
                value: $ty,
            }
        };
    }
    item!(Item, [u32; leaves]);
    let queue = typed::<Item>();
    queue.try_push(&Item { value: [1, 2, 3] }).unwrap();
    assert_eq!(queue.try_pop().unwrap(), Item { value: [1, 2, 3] });
}

#[test]
fn leaves_are_found_by_path_whatever_their_order() {
    #[derive(Tree, Debug, PartialEq)]
    struct Forth {
        a: u8,
        b: u8,
        inner: Inner,
    }

    #[derive(Tree, Debug, PartialEq)]
    struct Inner {
        c: u8,
        d: [u8; 2],
    }

    #[derive(Tree, Debug, PartialEq)]
    struct Back {
        inner: Renni,
        b: u8,
        a: u8,
    }

    #[derive(Tree, Debug, PartialEq)]
    struct Renni {
        d: [u8; 2],
        c: u8,
    }

    let forth = typed::<Forth>();
    let back = TypedQueue::<Back>::over(forth.queue().clone()).unwrap();
    forth.try_push(&Forth { a: 1, b: 2, inner: Inner { c: 3, d: [4, 5] } }).unwrap();
    assert_eq!(back.try_pop().unwrap(), Back { inner: Renni { d: [4, 5], c: 3 }, b: 2, a: 1 });
    back.try_push(&Back { inner: Renni { d: [4, 5], c: 3 }, b: 2, a: 1 }).unwrap();
    assert_eq!(forth.try_pop().unwrap(), Forth { a: 1, b: 2, inner: Inner { c: 3, d: [4, 5] } });
}

#[test]
fn containers_and_kinds_are_the_other_sides_affair() {
    #[derive(Tree, Debug, PartialEq)]
    struct Velocity {
        x: f64,
        y: f64,
    }

    let queue = TypedQueue::<Velocity>::over(local(dataclass(&["y", "x"]))).unwrap();
    queue.try_push(&Velocity { x: 1.0, y: 2.0 }).unwrap();
    let loan = queue.queue().try_borrow().unwrap();
    assert_eq!(loan.leaf::<f64>(0).unwrap(), [2.0], "the dataclass begins with y");
    drop(loan);

    let without_dimensions = Schema::builder().array::<f64>("x", []).array::<f64>("y", []).build().unwrap();
    assert!(TypedQueue::<Velocity>::over(local(without_dimensions)).is_ok());
}

#[test]
fn a_queue_of_other_items_is_refused_with_both_sides() {
    let there = Schema::builder()
        .array::<u8>("frame", [2, 4, 3])
        .nested("state", |state| state.array::<f32>("position", [3]).scalar::<f64>("mass"))
        .array::<bool>("legal", [6])
        .scalar::<bool>("done")
        .scalar::<u16>("type")
        .scalar::<f64>("reward")
        .array::<f32>("nothing", [0])
        .build()
        .unwrap();
    let error = TypedQueue::<Transition>::over(local(there)).unwrap_err();
    let expected = "the queue's items are not of this type:
                  the type      the queue
  state.position  float64 (3,)  float32 (3,)
  legal           bool (5,)     bool (6,)
  terminal        a bool        -
  done            -             a bool
  (5 leaves are the same)";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.difference.rows().len(), 4);
}

#[test]
fn bytes_that_another_type_stands_for_are_still_another_dtype() {
    let refused = |leaf: LeafSpec| {
        let schema = Subtree::leaf(leaf).build().unwrap();
        TypedQueue::<[u8; 3]>::over(local(schema)).is_err()
    };
    assert!(!refused(array::<u8>(&[3])));
    assert!(refused(array::<bool>(&[3])));
    assert!(refused(array::<i8>(&[3])));
    assert!(refused(array::<u8>(&[3, 1])));
    assert!(refused(array::<u8>(&[])));
    let big_endian = LeafSpec::new(Dtype::from_name(">u2").unwrap(), vec![], LeafKind::NumpyScalar);
    assert!(TypedQueue::<u16>::over(local(Subtree::leaf(big_endian).build().unwrap())).is_err());
}

#[test]
fn paths_are_compared_whole_however_long_they_are_and_whatever_is_in_them() {
    /// A leaf under so long a key that its middle is left out of the path, and one whose key has three dots.
    #[derive(Tree, Debug, PartialEq)]
    struct Long {
        #[tree(
            rename = "kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk kkkk A kkkk kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk"
        )]
        a: u8,
        b: u8,
        #[tree(rename = "to be ... continued")]
        c: u8,
    }

    let of = |keys: [&str; 3]| {
        let keys = keys.map(|key| Key::Str(key.to_owned())).to_vec();
        let structure = Structure::new(vec![Node::Dict(keys), Node::Leaf, Node::Leaf, Node::Leaf]).unwrap();
        Schema::new(structure, vec![LeafSpec::scalar_of::<u8>(); 3]).unwrap()
    };
    let key =
        "kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk kkkk A kkkk kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk kkkkkkkkkk";
    let dots = "to be ... continued";
    for keys in [[key, "b", dots], ["b", dots, key], [dots, key, "b"]] {
        let queue = TypedQueue::<Long>::over(local(of(keys))).unwrap();
        queue.try_push(&Long { a: 1, b: 2, c: 3 }).unwrap();
        let loan = queue.queue().try_borrow().unwrap();
        let place = |of: &str| keys.iter().position(|key| *key == of).unwrap();
        for (of, value) in [(key, 1), ("b", 2), (dots, 3)] {
            assert_eq!(loan.leaf::<u8>(place(of)).unwrap(), [value]);
        }
        loan.give_back().unwrap();
        assert_eq!(queue.try_pop().unwrap(), Long { a: 1, b: 2, c: 3 });
    }
    // Others, that read the same.
    let shown = |key: &str| of([key, "b", dots]).leaves()[0].path.clone();
    let other = key.replace('A', "B");
    assert_eq!(shown(key), shown(&other), "the middle is left out");
    assert_eq!(
        TypedQueue::<Long>::over(local(of([&other, "b", dots]))).unwrap_err().difference.rows().len(),
        2
    );
    assert!(TypedQueue::<Long>::over(local(of([key, "b", "to be ,,, continued"]))).is_err());
}

#[test]
fn a_byte_that_is_no_bool_is_an_error_and_the_item_comes_again() {
    let queue = typed::<Transition>();
    for number in 0..2 {
        let mut loan = queue.queue().try_reserve().unwrap();
        (0..7).for_each(|leaf| loan.leaf_bytes_mut(leaf).fill(0));
        loan.leaf_mut::<u16>("type").unwrap()[0] = number;
        if number == 0 {
            loan.leaf_mut::<u8>("legal").unwrap()[3] = 2;
        }
        loan.commit().unwrap();
    }
    for _ in 0..3 {
        let error = queue.try_pop().unwrap_err();
        assert_eq!(error.to_string(), "legal: element 3 is the byte 2, which is no bool");
        assert!(matches!(error, PopError::Leaf(LeafError::NotBool { byte: 2, .. })));
    }
    let loan = queue.queue().try_borrow().unwrap();
    assert_eq!((loan.leaf::<u16>("type").unwrap()[0], loan.info().delivery_count), (0, 4));
    loan.release().unwrap();
    assert_eq!(queue.try_pop().unwrap().r#type, 1);
}

/// A number below ten; `10` makes its reading panic.
#[derive(Debug, PartialEq)]
struct Digit(u8);

impl Tree for Digit {
    const ZERO: Self = Digit(0);

    fn subtree() -> Subtree {
        u8::subtree()
    }

    fn write_to(&self, leaves: &mut LeafWriter<'_>) {
        leaves.write(&self.0);
    }

    fn read_from(&mut self, leaves: &mut LeafReader<'_>) -> Result<(), LeafError> {
        leaves.read(&mut self.0)?;
        assert_ne!(self.0, 10, "on purpose");
        if self.0 > 9 { Err(leaves.refuse(format!("{} is no digit", self.0))) } else { Ok(()) }
    }
}

#[test]
fn types_of_ones_own_refuse_what_they_do_not_have() {
    #[derive(Tree, Debug)]
    struct Clock {
        _hour: u8,
        minute: Digit,
    }

    let queue = typed::<Clock>();
    for minute in [11, 10, 7] {
        let mut loan = queue.queue().try_reserve().unwrap();
        loan.leaf_mut::<u8>("minute").unwrap()[0] = minute;
        loan.commit().unwrap();
    }
    assert_eq!(queue.try_pop().unwrap_err().to_string(), "minute: 11 is no digit");
    queue.queue().try_borrow().unwrap().release().unwrap();
    catch_unwind(AssertUnwindSafe(|| queue.try_pop())).expect_err("it panics, and the item comes again");
    let ten = queue.queue().try_borrow().unwrap();
    assert_eq!(ten.leaf::<u8>("minute").unwrap(), [10]);
    ten.release().unwrap();
    assert_eq!(queue.try_pop().unwrap().minute, Digit(7));
}

/// Describes two numbers, and writes and reads others: as many bytes of another type, or fewer or more leaves.
struct Liar<const WRITES: usize, const FLOATS: bool>;

impl<const WRITES: usize, const FLOATS: bool> Tree for Liar<WRITES, FLOATS> {
    const ZERO: Self = Liar;

    fn subtree() -> Subtree {
        Schema::builder().scalar::<u32>("a").scalar::<u32>("b").into_subtree()
    }

    fn write_to(&self, leaves: &mut LeafWriter<'_>) {
        (0..WRITES).for_each(|_| if FLOATS { leaves.write(&0_f32) } else { leaves.write(&0_u32) });
    }

    fn read_from(&mut self, leaves: &mut LeafReader<'_>) -> Result<(), LeafError> {
        (0..WRITES).try_for_each(|_| if FLOATS { leaves.read(&mut 0_f32) } else { leaves.read(&mut 0_u32) })
    }
}

#[test]
fn a_type_that_contradicts_itself_is_found_out_before_its_item_is_seen() {
    fn check<const WRITES: usize, const FLOATS: bool>(expected: &str) {
        let queue = typed::<Liar<WRITES, FLOATS>>();
        let message = |panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        };
        let push = catch_unwind(AssertUnwindSafe(|| queue.try_push(&Liar))).expect_err("it panics");
        assert!(message(push).contains(expected));
        assert!(matches!(queue.queue().try_borrow(), Err(BorrowError::Empty)), "nothing was published");
        queue.queue().try_reserve().unwrap().commit().unwrap();
        let pop = catch_unwind(AssertUnwindSafe(|| queue.try_pop().map(drop))).expect_err("it panics");
        assert!(message(pop).contains(expected));
        assert!(queue.queue().try_borrow().is_ok(), "it came again");
    }
    check::<1, false>("no fewer leaves");
    check::<3, false>("no more leaves");
    check::<2, true>("the dtype that was described");
    let honest = typed::<Liar<2, false>>();
    honest.try_push(&Liar).unwrap();
    assert!(honest.try_pop().is_ok());
}

#[test]
fn full_empty_and_shut_down_are_errors_that_change_nothing() {
    let queue = typed::<u8>();
    for number in 0..4 {
        queue.try_push(&number).unwrap();
    }
    let briefly = || Wait::at_most(Duration::from_millis(1));
    assert!(matches!(queue.try_push(&9), Err(ReserveError::Full)));
    assert!(matches!(queue.push_with(&9, briefly()), Err(ReserveError::Full)));
    for number in 0..4 {
        assert_eq!(queue.try_pop().unwrap(), number);
    }
    assert!(matches!(queue.try_pop(), Err(PopError::Borrow(BorrowError::Empty))));
    let mut item = 7;
    assert!(matches!(queue.pop_into(&mut item, briefly()), Err(PopError::Borrow(BorrowError::Empty))));
    assert_eq!(item, 7);
    queue.queue().shutdown(false).unwrap();
    assert!(matches!(queue.push(&9), Err(ReserveError::ShutDown(_))));
    assert!(matches!(queue.pop(), Err(PopError::Borrow(BorrowError::ShutDown(_)))));
    assert!(matches!(TypedQueue::<u8>::create(0), Err(CreateError::Capacity { got: 0 })));
}

#[test]
fn threads_share_a_queue_and_its_clones() {
    const ITEMS: u64 = 2_000;
    let queue = TypedQueue::<Transition>::create(8).unwrap();
    let wait = || Wait::at_most(WATCHDOG);
    let sum: f64 = std::thread::scope(|scope| {
        for producer in 0..2 {
            let queue = queue.clone();
            scope.spawn(move || {
                for number in (producer..ITEMS).step_by(2) {
                    queue.push_with(&Transition { reward: number as f64, ..TRANSITION }, wait()).unwrap();
                }
            });
        }
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let rewards = (0..ITEMS / 2).map(|_| {
                        let item = queue.pop_with(wait()).unwrap();
                        assert_eq!(Transition { reward: TRANSITION.reward, ..item }, TRANSITION);
                        item.reward
                    });
                    rewards.sum::<f64>()
                })
            })
            .collect();
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum()
    });
    assert_eq!(sum, (ITEMS * (ITEMS - 1) / 2) as f64);
}

#[test]
fn large_items_need_little_more_of_the_stack_than_they_are() {
    #[derive(Tree)]
    struct Large {
        frame: [[u8; 512]; 512],
        sum: u64,
    }

    let queue = typed::<Large>();
    let pop = || {
        let item = queue.try_pop().unwrap();
        (item.frame[511][511], item.sum)
    };
    let mut large = Box::new(Large::ZERO);
    (large.frame[511][511], large.sum) = (7, 8);
    queue.try_push(&large).unwrap();
    queue.try_push(&large).unwrap();
    std::thread::scope(|scope| {
        // Six times the item, also without optimization: the values here and in `try_pop`, and what moves them.
        let thread = std::thread::Builder::new().stack_size(1536 << 10).spawn_scoped(scope, pop);
        assert_eq!(thread.unwrap().join().unwrap(), (7, 8));
    });
    (large.frame[511][511], large.sum) = (0, 0);
    let into = || queue.pop_into(&mut large, Wait::forever()).unwrap();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, into);
        thread.unwrap().join().unwrap();
    });
    assert_eq!((large.frame[511][511], large.sum), (7, 8));
}

/// Every kind of element, in arrays and alone. Floats are compared by their bits, for a NaN is unlike itself.
#[derive(Tree, Clone, Copy, Debug)]
struct All {
    unsigned: Unsigned,
    signed: Signed,
    f32s: [f32; 3],
    f64s: [[f64; 1]; 2],
    float32: f32,
    float64: f64,
    bools: [[bool; 3]; 3],
    bool: bool,
}

#[derive(Tree, Clone, Copy, Debug, PartialEq)]
struct Unsigned {
    u8s: [u8; 7],
    u16s: [[u16; 2]; 3],
    u32s: [u32; 1],
    u64s: [u64; 5],
}

#[derive(Tree, Clone, Copy, Debug, PartialEq)]
struct Signed {
    int8: i8,
    i16s: [i16; 9],
    int32: i32,
    int64: i64,
}

impl All {
    fn bits(&self) -> (Unsigned, Signed, Vec<u64>, [[bool; 3]; 3], bool) {
        let singles = self.f32s.iter().chain([&self.float32]).map(|float| u64::from(float.to_bits()));
        let doubles = self.f64s.as_flattened().iter().chain([&self.float64]).map(|float| float.to_bits());
        (self.unsigned, self.signed, singles.chain(doubles).collect(), self.bools, self.bool)
    }
}

fn all() -> impl Strategy<Value = All> {
    let unsigned = any::<([u8; 7], [[u16; 2]; 3], [u32; 1], [u64; 5])>()
        .prop_map(|(u8s, u16s, u32s, u64s)| Unsigned { u8s, u16s, u32s, u64s });
    let signed = any::<(i8, [i16; 9], i32, i64)>().prop_map(|(int8, i16s, int32, int64)| Signed {
        int8,
        i16s,
        int32,
        int64,
    });
    let floats = any::<([u32; 3], [[u64; 1]; 2], u32, u64)>();
    (unsigned, signed, floats, any::<[[bool; 3]; 3]>(), any::<bool>()).prop_map(
        |(unsigned, signed, (f32s, f64s, float32, float64), bools, bool)| All {
            unsigned,
            signed,
            f32s: f32s.map(f32::from_bits),
            f64s: f64s.map(|row| row.map(f64::from_bits)),
            float32: f32::from_bits(float32),
            float64: f64::from_bits(float64),
            bools,
            bool,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_go_through_unchanged(items in prop::collection::vec(all(), 1..20)) {
        let queue = typed::<All>();
        for item in &items {
            queue.try_push(item).unwrap();
            prop_assert_eq!(queue.try_pop().unwrap().bits(), item.bits());
        }
    }
}
