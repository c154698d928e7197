//! Fields of COCO files that may be of the wrong type without the whole file being unreadable.
//!
//! Separate because everything that is wrong with one annotation is a value here, which is named later with the id of the
//! annotation. Invariant: any JSON value can be read as any of these types.

use std::fmt;

use rayon::prelude::*;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A number; NaN if it is something else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) f64);

/// A whole number, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Whole(pub(super) Option<i64>);

/// A list of numbers; empty if it is something else.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Numbers(pub(super) Vec<f64>);

/// A text, or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Text(pub(super) Option<String>);

/// Runs of a mask, as they are written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Counts {
    Text(String),
    Numbers(Vec<f64>),
    #[default]
    Other,
}

/// What the key `segmentation` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Segmentation {
    Polygons(Vec<Numbers>),
    Runs { size: Numbers, counts: Counts },
    Other,
}

/// A visitor that makes a value of every JSON value: by itself all of them are something else.
macro_rules! lenient {
    ($what:ident, $other:expr, { $($own:item)* }, [$($rest:ident),*]) => {
        impl<'de> Deserialize<'de> for $what {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Any;
                impl<'de> Visitor<'de> for Any {
                    type Value = $what;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("any value")
                    }

                    $($own)*
                    $(lenient!(@$rest, $what, $other);)*
                }
                deserializer.deserialize_any(Any)
            }
        }
    };
    (@unit, $what:ident, $other:expr) => {
        fn visit_unit<E: Error>(self) -> Result<$what, E> { Ok($other) }
    };
    (@bool, $what:ident, $other:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<$what, E> { Ok($other) }
    };
    (@numbers, $what:ident, $other:expr) => {
        fn visit_i64<E: Error>(self, _: i64) -> Result<$what, E> { Ok($other) }
        fn visit_u64<E: Error>(self, _: u64) -> Result<$what, E> { Ok($other) }
        fn visit_f64<E: Error>(self, _: f64) -> Result<$what, E> { Ok($other) }
    };
    (@str, $what:ident, $other:expr) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<$what, E> { Ok($other) }
    };
    (@seq, $what:ident, $other:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<$what, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
    (@map, $what:ident, $other:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$what, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

lenient!(
    Number,
    Number(f64::NAN),
    {
        fn visit_bool<E: Error>(self, value: bool) -> Result<Number, E> {
            Ok(Number(f64::from(u8::from(value))))
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
            Ok(Number(value as f64))
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
            Ok(Number(value as f64))
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
            Ok(Number(value))
        }
    },
    [unit, str, seq, map]
);

lenient!(
    Whole,
    Whole(None),
    {
        fn visit_i64<E: Error>(self, value: i64) -> Result<Whole, E> {
            Ok(Whole(Some(value)))
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<Whole, E> {
            Ok(Whole(i64::try_from(value).ok()))
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<Whole, E> {
            // Beyond 2^53 a float may stand for several whole numbers.
            let is_whole = value.fract() == 0.0 && value.abs() < (1_u64 << 53) as f64;
            Ok(Whole(is_whole.then_some(value as i64)))
        }
    },
    [unit, bool, str, seq, map]
);

lenient!(
    Text,
    Text(None),
    {
        fn visit_str<E: Error>(self, value: &str) -> Result<Text, E> {
            Ok(Text(Some(value.to_owned())))
        }
    },
    [unit, bool, numbers, seq, map]
);

lenient!(
    Numbers,
    Numbers(vec![]),
    {
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Numbers, A::Error> {
            numbers(seq).map(Numbers)
        }
    },
    [unit, bool, numbers, str, map]
);

lenient!(
    Counts,
    Counts::Other,
    {
        fn visit_str<E: Error>(self, value: &str) -> Result<Counts, E> {
            Ok(Counts::Text(value.to_owned()))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Counts, A::Error> {
            numbers(seq).map(Counts::Numbers)
        }
    },
    [unit, bool, numbers, map]
);

lenient!(
    Segmentation,
    Segmentation::Other,
    {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Segmentation, A::Error> {
            let mut polygons = vec![];
            while let Some(polygon) = seq.next_element()? {
                polygons.push(polygon);
            }
            Ok(Segmentation::Polygons(polygons))
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Segmentation, A::Error> {
            let (mut size, mut counts) = (Numbers::default(), Counts::default());
            while let Some(key) = map.next_key::<String>()? {
                match key.as_str() {
                    "size" => size = map.next_value()?,
                    "counts" => counts = map.next_value()?,
                    _ => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(Segmentation::Runs { size, counts })
        }
    },
    [unit, bool, numbers, str]
);

fn numbers<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Vec<f64>, A::Error> {
    let mut numbers = vec![];
    while let Some(Number(number)) = seq.next_element()? {
        numbers.push(number);
    }
    Ok(numbers)
}

/// `serde_json`, which also reads the numbers that JSON does not have and Python writes: `NaN`, `Infinity` and
/// `-Infinity`. They are read as texts, and so as no numbers.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|error| match without_python_numbers(json) {
        Some(json) => serde_json::from_slice(&json),
        None => Err(error),
    })
}

/// A JSON list as [`parse`] reads it, in parallel.
pub(super) fn parse_list<T: DeserializeOwned + Send>(json: &[u8]) -> serde_json::Result<Vec<T>> {
    let parts = split(json).and_then(|parts| {
        let parts = parts.into_par_iter().map(|part| serde_json::from_slice(&[b"[", part, b"]"].concat()));
        parts.collect::<serde_json::Result<Vec<Vec<T>>>>().ok()
    });
    // Errors have to name places in the whole text.
    parts.map_or_else(|| parse(json), |parts| Ok(parts.into_iter().flatten().collect()))
}

/// Parts of a JSON list that can be read by themselves, if it is one.
fn split(json: &[u8]) -> Option<Vec<&[u8]>> {
    const BYTES: usize = 1 << 18;
    let inner = json.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    let (mut parts, mut start, mut depth, mut in_text, mut at) = (vec![], 0, 0_usize, false, 0);
    while at < inner.len() {
        match inner[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 && at - start > BYTES => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&inner[start..]);
    Some(parts)
}

/// The same JSON with an empty text in the place of each of Python's numbers, if there are any. Nothing else moves, so that
/// errors name the right place.
fn without_python_numbers(json: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut changed: Option<Vec<u8>> = None;
    let (mut at, mut in_text) = (0, false);
    while at < json.len() {
        let word = WORDS.iter().find(|word| !in_text && json[at..].starts_with(word));
        if let Some(word) = word {
            let place = &mut changed.get_or_insert_with(|| json.to_vec())[at..at + word.len()];
            place.fill(b' ');
            place[..2].fill(b'"');
            at += word.len();
            continue;
        }
        match json[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            _ => {}
        }
        at += 1;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_can_be_read_as_anything() {
        for json in
            ["null", "true", "-3", "18446744073709551615", "1.5", "\"a\"", "[1, [2], {}]", "{\"a\": [1]}"]
        {
            parse::<Number>(json.as_bytes()).unwrap();
            parse::<Whole>(json.as_bytes()).unwrap();
            parse::<Numbers>(json.as_bytes()).unwrap();
            parse::<Text>(json.as_bytes()).unwrap();
            parse::<Counts>(json.as_bytes()).unwrap();
            parse::<Segmentation>(json.as_bytes()).unwrap();
        }
    }

    #[test]
    fn whole_numbers_may_be_written_as_floats() {
        let read = |json: &str| parse::<Whole>(json.as_bytes()).unwrap().0;
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("7.0"), Some(7));
        assert_eq!(read("7.5"), None);
        assert_eq!(read("1e300"), None);
        assert_eq!(read("\"7\""), None);
    }

    #[test]
    fn a_list_is_the_same_in_parts() {
        let long = format!("[{}]", vec!["[1, \"],[\\\"\", {\"a\": 2}]"; 40_000].join(","));
        assert!(split(long.as_bytes()).unwrap().len() > 2);
        let parse_in_parts =
            |json: &str| parse_list::<serde_json::Value>(json.as_bytes()).map_err(|error| error.to_string());
        let at_once =
            |json: &str| parse::<Vec<serde_json::Value>>(json.as_bytes()).map_err(|error| error.to_string());
        let cut = &long[..long.len() - 2];
        let broken = long.replacen("2}]]", "2}],]", 1);
        let comma = format!("{},]", &long[..long.len() - 1]);
        for json in
            [&long, cut, &broken, &comma, "[]", " [ ] ", "[,]", "[1,]", "[1],[2]", "[1]]", "", "{}", "[\"\\"]
        {
            assert_eq!(parse_in_parts(json), at_once(json), "{}", &json[..json.len().min(30)]);
        }
    }

    #[test]
    fn what_python_calls_numbers_is_none() {
        let read = |json: &str| parse::<Numbers>(json.as_bytes()).map(|Numbers(numbers)| numbers);
        let numbers = read("[1, NaN, -Infinity, Infinity]").unwrap();
        assert_eq!(numbers[0], 1.0);
        assert!(numbers[1..].iter().all(|number| number.is_nan()));
        let text = parse::<Vec<Text>>(br#"["a \" NaN", NaN, "NaN"]"#).unwrap();
        assert_eq!(text[0], Text(Some("a \" NaN".to_owned())));
        assert_eq!(text[2], Text(Some("NaN".to_owned())));
        assert_eq!(read("[1, NaN, -Infinity, x]").unwrap_err().column(), 21);
    }
}
