//! What `list_invites` says of an invite: as an object of JSON, in the answer of ejabberd's HTTP
//! API, or as a line, as `ejabberdctl` prints it.

use serde::Deserialize;
use serde_json::Value;

use super::row::{Row, some};

/// What is expected of an object.
pub const OBJECT: &str = "an invite of `list_invites`, with the keys token, created_at, expires, type, inviter, \
                          invitee and account_name";

/// What is expected of a line.
pub const LINE: &str = "an invite of `ejabberdctl list_invites`: ten fields in UTF-8, with tabs between them";

#[derive(Deserialize)]
struct Listed<'a> {
    token: String,
    #[serde(default)]
    valid: Value,
    created_at: String,
    expires: String,
    #[serde(rename = "type")]
    kind: String,
    inviter: String,
    invitee: String,
    account_name: String,
    #[serde(default, borrow)]
    token_uri: std::borrow::Cow<'a, str>,
}

/// The invite in an object of JSON.
///
/// # Errors
/// In which line of the object the mistake is.
pub fn from_json(text: &[u8]) -> Result<Row, usize> {
    serde_json::from_slice::<Listed<'_>>(text).map(Row::from).map_err(|error| error.line())
}

/// The invite in a line; `None` if the line is something else.
pub fn from_line(text: &[u8]) -> Option<Row> {
    let fields: Vec<&str> = std::str::from_utf8(text).ok()?.split('\t').collect();
    let [token, valid, created_at, expires, kind, inviter, invitee, account_name, token_uri, _] =
        <[&str; 10]>::try_from(fields).ok()?;
    let listed = Listed {
        token: token.into(),
        valid: valid.into(),
        created_at: created_at.into(),
        expires: expires.into(),
        kind: kind.into(),
        inviter: inviter.into(),
        invitee: invitee.into(),
        account_name: account_name.into(),
        token_uri: token_uri.into(),
    };
    Some(listed.into())
}

impl From<Listed<'_>> for Row {
    fn from(listed: Listed<'_>) -> Self {
        let (inviter, host) = listed.inviter.rsplit_once('@').unwrap_or(("", &listed.inviter));
        Row {
            inviter: inviter.to_owned(),
            host: host.to_owned(),
            token: listed.token,
            invitee: listed.invitee,
            created_at: listed.created_at,
            expires: listed.expires,
            kind: listed.kind,
            account_name: listed.account_name,
            valid: match &listed.valid {
                Value::Bool(valid) => Some(*valid),
                Value::String(valid) => valid.parse().ok(),
                _ => None,
            },
            registers: some(&listed.token_uri).map(|uri| uri.split(['?', ';']).any(|part| part == "ibr=y")),
        }
    }
}
