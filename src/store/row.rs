//! Values that go into a statement, and rows that come out, in a form that both engines share.

use std::str::FromStr;

use jiff::Timestamp;

use super::error::{Problem, Result};
use crate::invite::TokenHash;

/// A value in a statement or in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Value::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Value::Integer(integer.into())
    }
}

impl From<Timestamp> for Value {
    fn from(instant: Timestamp) -> Self {
        Value::Integer(instant.as_second())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<TokenHash> for Value {
    fn from(token_hash: TokenHash) -> Self {
        Value::Bytes(token_hash.0.into())
    }
}

/// A JSON array.
impl From<&[String]> for Value {
    fn from(list: &[String]) -> Self {
        Value::Text(serde_json::Value::from(list).to_string())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// `$3, $4, …`: the placeholders of `count` values that come after `before` others.
pub fn placeholders(before: usize, count: usize) -> String {
    (before + 1..=before + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// `($1, $2), ($3, $4), …`: the placeholders of this number of values, in rows of `width`.
pub fn tuples(width: usize, values: usize) -> String {
    let row = |first| format!("({})", placeholders(first, width));
    (0..values).step_by(width).map(row).collect::<Vec<_>>().join(", ")
}

/// Adds values for an `IN (…)` to those of a statement, and returns the placeholders between its
/// brackets. The last value is repeated until their number is a power of two: a connection to
/// PostgreSQL keeps each statement that it has prepared, and so there are few.
pub fn among(values: &mut Vec<Value>, these: impl IntoIterator<Item = Value>) -> String {
    let before = values.len();
    values.extend(these);
    let last = values.last().filter(|_| values.len() > before).cloned().unwrap_or(Value::Null);
    let count = (values.len() - before).next_power_of_two();
    values.resize(before + count, last);
    placeholders(before, count)
}

/// A row of a result.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn get(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// The error for a row that no version of this program has written.
    fn malformed(&self, column: usize) -> Problem {
        Problem::Corrupt(format!("column {column} of a row holds {:?}", self.get(column)))
    }

    /// What `parse` makes of a text, which must not be NULL.
    pub fn parsed<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let parsed = if let Value::Text(text) = self.get(column) { parse(text) } else { None };
        parsed.ok_or_else(|| self.malformed(column))
    }

    /// What `parse` makes of a text; `None` for NULL.
    pub fn optional_parsed<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        if *self.get(column) == Value::Null { Ok(None) } else { self.parsed(column, parse).map(Some) }
    }

    /// What a text stands for, which must not be NULL.
    pub fn text<T: FromStr>(&self, column: usize) -> Result<T> {
        self.parsed(column, |text| text.parse().ok())
    }

    /// What a text stands for; `None` for NULL.
    pub fn optional<T: FromStr>(&self, column: usize) -> Result<Option<T>> {
        self.optional_parsed(column, |text| text.parse().ok())
    }

    /// Bytes of this length.
    pub fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        match self.get(column) {
            Value::Bytes(bytes) => bytes.as_slice().try_into().map_err(|_| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// A whole number; `None` for NULL.
    pub fn optional_integer<T: TryFrom<i64>>(&self, column: usize) -> Result<Option<T>> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Integer(number) => T::try_from(*number).map(Some).map_err(|_| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// A whole number, which must not be NULL.
    pub fn integer<T: TryFrom<i64>>(&self, column: usize) -> Result<T> {
        self.optional_integer(column)?.ok_or_else(|| self.malformed(column))
    }

    /// An instant; `None` for NULL.
    pub fn optional_instant(&self, column: usize) -> Result<Option<Timestamp>> {
        let seconds: Option<i64> = self.optional_integer(column)?;
        let instant = |seconds| Timestamp::from_second(seconds).map_err(|_| self.malformed(column));
        seconds.map(instant).transpose()
    }

    /// An instant, which must not be NULL.
    pub fn instant(&self, column: usize) -> Result<Timestamp> {
        self.optional_instant(column)?.ok_or_else(|| self.malformed(column))
    }
}
