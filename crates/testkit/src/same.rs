//! Equality of long lists, with a message that shows the first difference instead of both lists.

use std::fmt::Debug;

/// Asserts that two lists are equal.
///
/// # Panics
/// The lists differ; the message begins with `what` and says where, what was expected and what was found.
#[track_caller]
pub fn assert_same<T: Debug + PartialEq>(what: &str, got: &[T], expected: &[T]) {
    if let Some(difference) = first_difference(got, expected) {
        panic!("{what}: {difference}");
    }
}

fn first_difference<T: Debug + PartialEq>(got: &[T], expected: &[T]) -> Option<String> {
    let pairs = got.iter().zip(expected).enumerate();
    if let Some((at, (got, expected))) = pairs.into_iter().find(|(_, (got, expected))| got != expected) {
        return Some(format!("item {at} is {got:?}, expected {expected:?}"));
    }
    let at = got.len().min(expected.len());
    match (got.get(at), expected.get(at)) {
        (None, None) => None,
        (Some(got), _) => Some(format!("{at} items expected, but item {at} is {got:?}")),
        (_, Some(expected)) => Some(format!("only {at} items, expected {expected:?} next")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown() {
        let expected: Vec<_> = (0..1000).collect();
        assert_eq!(first_difference(&expected, &expected), None);
        let mut got = expected.clone();
        (got[7], got[9]) = (70, 90);
        assert_eq!(first_difference(&got, &expected).unwrap(), "item 7 is 70, expected 7");
    }

    #[test]
    fn lists_of_other_lengths_differ() {
        assert_eq!(first_difference(&[1, 2], &[1]).unwrap(), "1 items expected, but item 1 is 2");
        assert_eq!(first_difference(&[1], &[1, 2]).unwrap(), "only 1 items, expected 2 next");
        assert_eq!(first_difference::<u8>(&[], &[]), None);
    }
}
