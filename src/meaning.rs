//! What a configuration means, to compare two: comments, order and notation do not count. Each
//! value is only a digest, so a meaning can be shown to others.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// A tree of tables, with a digest of each value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning(Value);

impl Meaning {
    /// The meaning of tables with values.
    pub fn of(tables: Value) -> Meaning {
        Meaning(digested(tables))
    }

    /// Whether it has a table of this VirtualHost.
    pub fn serves(&self, host: &str) -> bool {
        self.0.get("hosts").and_then(|hosts| hosts.get(host)).is_some()
    }

    /// The keys with different values, as they are written in TOML. A table that only one of the
    /// two has is named as a whole.
    pub fn differences(&self, other: &Meaning) -> Vec<String> {
        let mut found = Vec::new();
        compare(&self.0, &other.0, &mut Vec::new(), &mut found);
        found
    }
}

fn digested(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            table.into_iter().map(|(key, value)| (key, digested(value))).collect::<Map<_, _>>().into()
        }
        Value::Null => Value::Null,
        value => {
            let digest = Sha256::digest(value.to_string());
            digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
    }
}

fn compare<'a>(ours: &'a Value, theirs: &'a Value, at: &mut Vec<&'a str>, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
                at.push(key);
                compare(ours.get(key).unwrap_or(&Value::Null), theirs.get(key).unwrap_or(&Value::Null), at, found);
                at.pop();
            }
        }
        _ if ours != theirs => found.push(written(at)),
        _ => (),
    }
}

/// The path of a key as it would be written in TOML: `hosts."example.org".admins`.
pub fn written(keys: &[&str]) -> String {
    let bare = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let written = |key: &&str| if bare(key) { (*key).to_owned() } else { format!("{key:?}") };
    keys.iter().map(written).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_keys_that_differ_are_named() {
        let meaning = |limits: Value, hosts: Value| Meaning::of(json!({"limits": limits, "hosts": hosts, "web": null}));
        let first = meaning(json!({"pages": 7, "forms": null}), json!({"example.org": {"admins": []}}));
        assert_eq!(first.differences(&first), Vec::<String>::new());
        let second =
            meaning(json!({"pages": 8, "forms": 5}), json!({"example.net": {}, "example.org": {"admins": ["a"]}}));
        let keys = ["hosts.\"example.net\"", "hosts.\"example.org\".admins", "limits.forms", "limits.pages"];
        assert_eq!(first.differences(&second), keys);
        assert_eq!(second.differences(&first), keys);
        let third = Meaning::of(
            json!({"limits": {"pages": 7}, "hosts": {"example.org": {"admins": []}}, "web": {"name": "x"}}),
        );
        assert_eq!(first.differences(&third), ["web"]);
        assert!(second.serves("example.net") && !first.serves("example.net") && first.serves("example.org"));
    }

    #[test]
    fn no_value_can_be_read_in_it() {
        let meaning = Meaning::of(json!({"component": {"secret": "hunter2", "admins": ["a@example.org"]}}));
        let text = serde_json::to_string(&meaning).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("example.org"), "{text}");
    }
}
