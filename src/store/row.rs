//! Values that go into a statement, and rows that come out. Nothing here knows an engine.

use std::str::FromStr;

use jiff::Timestamp;

use super::error::{Problem, Result};

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

/// `$3, $4, …`: how a statement names `count` values that stand behind `before` others.
pub fn numbers(before: usize, count: usize) -> String {
    (before + 1..=before + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// `($1, $2), ($3, $4), …`: how a statement names the values of rows of this width.
pub fn tuples(width: usize, values: usize) -> String {
    let row = |first| format!("({})", numbers(first, width));
    (0..values).step_by(width).map(row).collect::<Vec<_>>().join(", ")
}

/// Adds values for an `IN (…)` to those of a statement, and returns what stands between its
/// brackets. The last value is repeated until their number is a power of two: PostgreSQL's
/// connections remember each statement, and so they know few.
pub fn among(values: &mut Vec<Value>, these: impl IntoIterator<Item = Value>) -> String {
    let before = values.len();
    values.extend(these);
    let last = values.last().filter(|_| values.len() > before).cloned().unwrap_or(Value::Null);
    let count = (values.len() - before).next_power_of_two();
    values.resize(before + count, last);
    numbers(before, count)
}

/// A row of a result.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn get(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// No version of this program has written such a row: the database is input like any other.
    fn malformed(&self, column: usize) -> Problem {
        Problem::Corrupt(format!("column {column} of a row holds {:?}", self.get(column)))
    }

    /// What `parse` makes of a text that has to be there.
    pub fn required<T>(&self, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let parsed = if let Value::Text(text) = self.get(column) { parse(text) } else { None };
        parsed.ok_or_else(|| self.malformed(column))
    }

    /// What a text stands for, which has to be there.
    pub fn text<T: FromStr>(&self, column: usize) -> Result<T> {
        self.required(column, |text| text.parse().ok())
    }

    /// What a text stands for; `None` for NULL.
    pub fn optional<T: FromStr>(&self, column: usize) -> Result<Option<T>> {
        if *self.get(column) == Value::Null { Ok(None) } else { self.text(column).map(Some) }
    }

    /// Bytes of this length.
    pub fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        match self.get(column) {
            Value::Bytes(bytes) => bytes.as_slice().try_into().map_err(|_| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// A whole number, if it is there.
    pub fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<Option<T>> {
        match self.get(column) {
            Value::Null => Ok(None),
            Value::Integer(number) => T::try_from(*number).map(Some).map_err(|_| self.malformed(column)),
            _ => Err(self.malformed(column)),
        }
    }

    /// A whole number that has to be there.
    pub fn count<T: TryFrom<i64>>(&self, column: usize) -> Result<T> {
        self.number(column)?.ok_or_else(|| self.malformed(column))
    }

    /// An instant, if it is there.
    pub fn instant(&self, column: usize) -> Result<Option<Timestamp>> {
        let seconds: Option<i64> = self.number(column)?;
        let instant = |seconds| Timestamp::from_second(seconds).map_err(|_| self.malformed(column));
        seconds.map(instant).transpose()
    }

    /// An instant that has to be there.
    pub fn since(&self, column: usize) -> Result<Timestamp> {
        self.instant(column)?.ok_or_else(|| self.malformed(column))
    }
}
