//! Mends of shapes: what makes an array of one shape one of another.

use treequeues::dtype::DisplayShape;

/// Dimensions whose permutations are tried.
const MAX_TRANSPOSED_NDIM: usize = 4;

/// What makes an array of one shape one of another, of as many elements, without putting them in another order unasked.
pub(super) fn step_to_shape(from: &[usize], to: &[usize]) -> Option<String> {
    let without_ones =
        |shape: &[usize]| shape.iter().copied().filter(|&length| length != 1).collect::<Vec<_>>();
    let (long_from, long_to) = (without_ones(from), without_ones(to));
    let numbers = |numbers: &[usize]| {
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        if numbers.is_empty() { "()".to_owned() } else { numbers.join(", ") }
    };
    if from.split_first() == Some((&1, to)) {
        return Some("[0]".to_owned());
    }
    if long_from == long_to {
        return Some(format!(".reshape({})", numbers(to)));
    }
    if let Some(order) = transposition(from, to) {
        return Some(format!(".transpose({})", numbers(&order)));
    }
    let is_flat = from.len() == 1 || to.len() == 1;
    let (count_from, count_to) = (from.iter().product::<usize>(), to.iter().product::<usize>());
    (is_flat && count_from == count_to).then(|| format!(".reshape({})", numbers(to)))
}

/// The order of the dimensions that makes one shape of the other.
fn transposition(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    if from.len() != to.len() || from.len() > MAX_TRANSPOSED_NDIM {
        return None;
    }
    let mut order = Vec::new();
    for length in to {
        let next = (0..from.len()).find(|dim| from[*dim] == *length && !order.contains(dim))?;
        order.push(next);
    }
    Some(order)
}

/// Lengths that no step makes fit.
pub(super) fn mend_of_lengths(from: &[usize], to: &[usize]) -> Option<String> {
    if from.get(1..) == Some(to) {
        return Some(format!("put_batch puts {} such trees at once", from[0]));
    }
    if from.len() != to.len() {
        return None;
    }
    let largest: Vec<usize> = from.iter().zip(to).map(|(from, to)| *from.max(to)).collect();
    let shape = DisplayShape(&largest);
    Some(if largest == to {
        format!("pad it to {shape} and carry the length")
    } else {
        format!("an example of {shape} has room: pad the others and carry the length")
    })
}
