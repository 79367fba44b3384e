//! Any bytes as a data file of Prosody's. Either all of it is read, the same however it arrives, or
//! it is refused with its line and nothing of what stands there.
#![no_main]

use std::io::BufReader;

use easy_invite::import::lua_data::{Entries, Value};
use easy_invite_fuzz::without_growth;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    without_growth(|| {
        let mut slowly = Entries::new(BufReader::with_capacity(1, input));
        for entry in Entries::new(input) {
            match (entry, slowly.next()) {
                (Ok((key, value)), Some(Ok((same_key, same_value)))) => {
                    assert!(is_same(&key, &same_key) && is_same(&value, &same_value));
                }
                (Err(problem), Some(Err(same))) => {
                    let (problem, same) = (problem.to_string(), same.to_string());
                    assert_eq!(problem, same);
                    assert!(problem.starts_with("line ") && problem.is_ascii() && problem.len() < 100, "{problem}");
                    assert!(!problem.contains(char::is_control), "more than a line: {problem:?}");
                }
                _ => panic!("read in another way, byte by byte"),
            }
        }
        assert!(slowly.next().is_none());
    });
});

/// What is no number is not the same as itself.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.is_nan() && other.is_nan(),
        (Value::Table(one), Value::Table(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(&one.0, &other.0) && is_same(&one.1, &other.1))
        }
        (one, other) => one == other,
    }
}
