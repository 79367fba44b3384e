//! Reads what `easy-invite export` prints.

use std::io::{BufRead, Read};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{anyhow, ensure};
use jid::BareJid;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::files::in_words;
use crate::import::{By, Imported, Item, Joined, Used, open, send};
use crate::invite::{Invite, InviteId, Token, TokenHash, username};
use crate::jids;
use crate::names;

/// The kind of the first line.
const FIRST: &str = "easy-invite-export";

/// The version of the lines that this program writes, and the newest one that it reads.
pub const VERSION: u32 = 1;

/// The longest line, in bytes. The line of an invite has a few hundred.
const LONGEST: u64 = 1024 * 1024;

/// How many links an imported invite may have had. It can still get more.
const LINKS: RangeInclusive<u32> = 1..=1_000_000;

/// What is expected in fields.
const TYPES: &str = "account, contact, account-and-contact or password-reset";
const TIME: &str = "a time such as 2026-05-01T12:00:00Z";
const JID: &str = "a bare JID such as alice@example.org";
const ID: &str = "the id of an invite";
const NUMBER: &str = "a whole number";
const NOTHING: &str = "nothing after the line of the kind end";

/// Reads the file at this path, or stdin where the path is `-`.
///
/// # Errors
/// If it cannot be read, or a line is not as `easy-invite export` writes it.
pub async fn read_file(path: PathBuf, items: mpsc::Sender<Item>) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || {
        let (name, reader) = open(&path)?;
        Lines::new(name, reader).read(&items)
    })
    .await?
}

/// The lines of an export.
struct Lines<R> {
    /// The name of the file, for messages.
    name: String,
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(name: String, reader: R) -> Self {
        Lines { name, reader, number: 0 }
    }

    fn read(mut self, items: &mpsc::Sender<Item>) -> anyhow::Result<()> {
        let first = "the first line of what `easy-invite export` prints";
        let begun = self.next(first)?;
        self.told(ensure_known(begun.filter(|line| line.is_of(FIRST)).ok_or(Wrong("", first))))?;
        let (mut last, mut counts): (Option<Held>, _) = (None, [0u64; 3]);
        loop {
            let line =
                self.next("an object of JSON")?.ok_or_else(|| self.expected("", "a last line of the kind end"))?;
            if let (true, Some(held)) = (line.is_of("use"), &mut last) {
                counts[1] += 1;
                let used = self.told(held.used(line))?;
                held.imported.uses.push(used);
                continue;
            }
            // An invite is sent only with all its uses. Without them, it could be used more often.
            if let Some(held) = last.take() {
                self.told(held.ensure_whole())?;
                send(items, Item::Invite(Box::new(held.imported)))?;
            }
            let place = format!("{}:{}", self.name, self.number);
            match line.kind() {
                Some("invite") => {
                    counts[0] += 1;
                    last = Some(self.told(held(line, place))?);
                }
                Some("account") => {
                    counts[2] += 1;
                    let joined = self.told(joined(line, place))?;
                    send(items, Item::Account(joined))?;
                }
                Some("end") => {
                    self.told(ensure_counted(line, counts))?;
                    let after = self.next(NOTHING)?;
                    return after.map_or(Ok(()), |_| Err(self.expected("", NOTHING)));
                }
                _ => return Err(self.expected("kind", "invite, use (after its invite), account or end")),
            }
        }
    }

    /// The next line; `None` at the end.
    fn next(&mut self, expected: &'static str) -> anyhow::Result<Option<Line>> {
        let mut text = Vec::new();
        let read = self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut text);
        self.number += 1;
        read.map_err(|error| anyhow!("{}: {}", self.name, in_words(&error)))?;
        ensure!(
            !text.starts_with(b"SQLite format 3"),
            "{} is a store, or a backup of one: `easy-invite restore` reads it",
            self.name
        );
        if text.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(|object| Some(Line(object))).map_err(|_| self.expected("", expected))
    }

    fn expected(&self, field: &str, what: &str) -> anyhow::Error {
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        anyhow!("{}:{}: {field}expected {what}", self.name, self.number)
    }

    fn told<T>(&self, read: Result<T, Wrong>) -> anyhow::Result<T> {
        read.map_err(|Wrong(field, what)| self.expected(field, what))
    }
}

/// A field that is wrong, or "" for the whole line, and what was expected.
struct Wrong(&'static str, &'static str);

/// A line: the fields of an object.
struct Line(Map<String, Value>);

impl Line {
    fn kind(&self) -> Option<&str> {
        self.0.get("kind").and_then(Value::as_str)
    }

    fn is_of(&self, kind: &str) -> bool {
        self.kind() == Some(kind)
    }

    /// A field that may be null, but not missing: an invite without the field that limits it could
    /// be used more often.
    fn optional<T>(
        &self,
        field: &'static str,
        expected: &'static str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        match self.0.get(field) {
            Some(Value::Null) => Ok(None),
            Some(value) => parse(value).map(Some).ok_or(Wrong(field, expected)),
            None => Err(Wrong(field, expected)),
        }
    }

    fn required<T>(
        &self,
        field: &'static str,
        expected: &'static str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, Wrong> {
        self.optional(field, expected, parse)?.ok_or(Wrong(field, expected))
    }

    fn number(&self, field: &'static str) -> Result<Option<u32>, Wrong> {
        self.optional(field, NUMBER, |value| value.as_u64()?.try_into().ok())
    }

    fn instant(&self, field: &'static str) -> Result<Option<Timestamp>, Wrong> {
        self.optional(field, TIME, parsed)
    }

    fn account(&self, field: &'static str) -> Result<Option<BareJid>, Wrong> {
        self.optional(field, JID, |value| jids::account(value.as_str()?).ok())
    }

    fn text(&self, field: &'static str) -> Result<Option<String>, Wrong> {
        self.optional(field, "a text without a zero byte", plain)
    }

    fn list(&self, field: &'static str) -> Result<Vec<String>, Wrong> {
        self.required(field, "a list of texts", |value| value.as_array()?.iter().map(plain).collect())
    }

    fn id(&self, field: &'static str) -> Result<Option<InviteId>, Wrong> {
        self.optional(field, ID, |value| InviteId::parse(value.as_str()?))
    }
}

/// A text that every store takes.
fn plain(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.contains('\0')).map(str::to_owned)
}

/// What a text means.
fn parsed<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn ensure_known(first: Result<Line, Wrong>) -> Result<(), Wrong> {
    let newer = "1: what a newer easy-invite has exported, that one reads";
    match first?.number("version")? {
        Some(1..=VERSION) => Ok(()),
        _ => Err(Wrong("version", newer)),
    }
}

fn ensure_counted(end: Line, counts: [u64; 3]) -> Result<(), Wrong> {
    for (field, count) in ["invites", "uses", "accounts"].into_iter().zip(counts) {
        let expected = "as many as there are lines of them";
        end.required(field, expected, |value| value.as_u64().filter(|number| *number == count))?;
    }
    Ok(())
}

/// An invite whose uses may still follow.
struct Held {
    imported: Imported,
    /// How many of them there are.
    uses: u32,
}

impl Held {
    fn used(&self, line: Line) -> Result<Used, Wrong> {
        let own = &self.imported.invite.id;
        line.required("invite", "the id of the invite before it", |value| {
            (value.as_str()? == own.as_str()).then_some(())
        })?;
        Ok(Used {
            purpose: line.required("purpose", "register, reset or contact", parsed)?,
            // Somebody who was forgotten has only a domain.
            account: line.required("account", JID, |value| BareJid::new(value.as_str()?).ok())?,
            at: line.instant("redeemed_at")?,
            failed: line.list("failed")?,
            joined: false,
        })
    }

    fn ensure_whole(&self) -> Result<(), Wrong> {
        let whole = self.imported.uses.len() == self.uses as usize;
        whole.then_some(()).ok_or(Wrong("", "as many lines of the kind use as the invite before has uses"))
    }
}

fn held(line: Line, place: String) -> Result<Held, Wrong> {
    let inviter = line.account("inviter")?;
    let nickname = line.text("inviter_name")?;
    let hash = line.optional("token_hash", "64 hexadecimal digits", |value| from_hexadecimal(value.as_str()?))?;
    // An invite that was exported without its hash: its link is lost, and it can get a new one.
    let no_randomness = |_| Wrong("", "the system's random source to work");
    let hash = hash.map_or_else(|| Token::generate().map(|token| token.hash()).map_err(no_randomness), Ok)?;
    let invite = Invite {
        id: line.id("id")?.ok_or(Wrong("id", ID))?,
        token_hash: hash,
        invite_type: line.required("type", TYPES, parsed)?,
        host: line.required("host", "a host such as example.org", |value| jids::domain(value.as_str()?).ok())?,
        username: line.optional("username", "a username such as alice", |value| username(value.as_str()?).ok())?,
        issuer: line.required("issuer", "user, admin or operator", parsed)?,
        roles: line.list("roles")?,
        groups: line.list("groups")?,
        note: line.text("note")?,
        max_uses: line.number("max_uses")?,
        uses: 0,
        created_at: line.instant("created_at")?.ok_or(Wrong("created_at", TIME))?,
        expires_at: line.instant("expires_at")?,
        revoked_at: line.instant("revoked_at")?,
        owners_since: line.instant("owners_since")?,
        links: line.number("links")?.filter(|links| LINKS.contains(links)).ok_or(Wrong("links", "1 to 1000000"))?,
        regenerated_at: line.instant("regenerated_at")?,
        language: line.text("language")?,
        inviter_name: inviter.as_ref().zip(nickname).and_then(|(jid, name)| names::nickname(&name, jid, &[])),
        imported_from: line.optional("imported_from", "prosody or ejabberd", parsed)?,
        token_length: line.number("token_length")?,
        replaced: false,
        inviter,
    };
    let uses = line.number("uses")?.ok_or(Wrong("uses", NUMBER))?;
    Ok(Held { imported: Imported { invite, uses: Vec::new(), place }, uses })
}

fn joined(line: Line, place: String) -> Result<Joined, Wrong> {
    Ok(Joined {
        account: line.account("account")?.ok_or(Wrong("account", JID))?,
        inviter: line.account("inviter")?,
        by: line.id("invite")?.map(By::Id),
        at: line.instant("registered_at")?,
        place,
    })
}

fn from_hexadecimal(text: &str) -> Option<TokenHash> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let bytes: Vec<u8> =
        digits?.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (text.len() == 64).then(|| bytes.try_into().ok().map(TokenHash))?
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::import::channel;

    const EXPORT: &str = include_str!("../../tests/harness/export.json");

    /// What is found in a text, and how reading it ends.
    fn found(text: &[u8]) -> (Vec<Item>, Result<(), String>) {
        let (sender, mut receiver) = channel();
        let mut items = Vec::new();
        let ended = std::thread::scope(|scope| {
            let read = scope.spawn(move || Lines::new("invites.jsonl".to_owned(), text).read(&sender));
            items.extend(std::iter::from_fn(|| receiver.blocking_recv()));
            read.join().unwrap()
        });
        (items, ended.map_err(|error| format!("{error:#}")))
    }

    fn ends_with(text: &str) -> String {
        found(text.as_bytes()).1.unwrap_err()
    }

    #[test]
    fn an_export_is_read_whole() {
        let (items, ended) = found(EXPORT.as_bytes());
        assert_eq!((items.len(), ended), (4, Ok(())));
        let Item::Invite(first) = &items[0] else { panic!("{items:?}") };
        assert_eq!((first.uses.len(), first.place.as_str()), (1, "invites.jsonl:2"));
        assert_eq!(first.invite.token_hash.0[..3], [0x72, 0x58, 0x32]);
        // From another system.
        assert_eq!(found(EXPORT.replace('\n', "\r\n").as_bytes()).1, Ok(()));
        assert_eq!(found(EXPORT.trim_end().as_bytes()).1, Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line_and_field_and_never_repeated() {
        let (version, number, time) =
            ("1: what a newer easy-invite has exported, that one reads", "a whole number", TIME);
        let (id, digits) = ("the id of the invite before it", "64 hexadecimal digits");
        let (kinds, counted) = ("invite, use (after its invite), account or end", "as many as there are lines of them");
        for (from, to, line, field, said) in [
            ("\"version\":1", "\"version\":2", 1, "version", version),
            ("\"version\":1", "\"version\":0", 1, "version", version),
            ("easy-invite-export", "secretsecret", 1, "", "the first line of what `easy-invite export` prints"),
            ("\"max_uses\":2,", "", 2, "max_uses", number),
            ("\"max_uses\":2", "\"max_uses\":-2", 2, "max_uses", number),
            ("\"max_uses\":2", "\"max_uses\":4294967296", 2, "max_uses", number),
            ("\"revoked_at\":null,", "", 2, "revoked_at", time),
            ("\"expires_at\":null", "\"expires_at\":\"secretsecret\"", 2, "expires_at", time),
            ("account-and-contact", "secretsecret", 2, "type", TYPES),
            ("alice@example.org", "secret@@secret", 2, "inviter", JID),
            ("ebrrhv75k3aw", "secretsecretsecret", 2, "id", "the id of an invite"),
            ("[\"prosody:member\"]", "[7]", 2, "roles", "a list of texts"),
            ("für Zoë", "\\u0000", 2, "note", "a text without a zero byte"),
            ("\"links\":1", "\"links\":0", 2, "links", "1 to 1000000"),
            ("725832a2", "secretse", 2, "token_hash", digits),
            ("725832a2", "725832a", 2, "token_hash", digits),
            ("\"issuer\":\"user\"", "\"issuer\":\"secretsecret\"", 2, "issuer", "user, admin or operator"),
            ("\"uses\":1", "\"uses\":2", 4, "", "as many lines of the kind use as the invite before has uses"),
            ("\"uses\":1", "\"uses\":0", 4, "", "as many lines of the kind use as the invite before has uses"),
            ("use\",\"invite\":\"ebrrhv75k3aw", "use\",\"invite\":\"secretsecret", 3, "invite", id),
            ("\"kind\":\"account\"", "\"kind\":\"use\"", 5, "invite", id),
            ("\"bob\"", "\"secret secret\"", 4, "username", "a username such as alice"),
            ("\"kind\":\"account\"", "\"kind\":\"secretsecret\"", 5, "kind", kinds),
            ("\"accounts\":2", "\"accounts\":3", 7, "accounts", counted),
            ("\"kind\":\"end\"", "\"kind\":\"end\" secretsecret", 7, "", "an object of JSON"),
            ("\"accounts\":2}\n", "\"accounts\":2}\n[\"secretsecret\"]", 8, "", NOTHING),
        ] {
            assert!(EXPORT.contains(from), "{from}");
            let error = ends_with(&EXPORT.replacen(from, to, 1));
            let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
            assert_eq!(error, format!("invites.jsonl:{line}: {field}expected {said}"), "{from} as {to}");
        }
        for text in ["", "\n", "[]", "null", "{}", "[[[[", "\u{feff}", "{\"invites\": []}", "token,expires\n", "\0\0\0"]
        {
            let said = "invites.jsonl:1: expected the first line of what `easy-invite export` prints";
            assert_eq!(ends_with(text), said, "{text:?}");
        }
        let deep = format!("{}{}", EXPORT.lines().next().unwrap(), "\n") + &"[".repeat(2_000_000);
        assert_eq!(ends_with(&deep), "invites.jsonl:2: expected an object of JSON");
        assert_eq!(
            ends_with("SQLite format 3\0…"),
            "invites.jsonl is a store, or a backup of one: `easy-invite restore` reads it"
        );
    }

    #[test]
    fn what_is_cut_is_told_and_no_invite_comes_without_its_uses() {
        for cut in 1..EXPORT.trim_end().len() {
            let (items, ended) = found(&EXPORT.as_bytes()[..cut]);
            let line = 1 + EXPORT.as_bytes()[..cut].iter().filter(|byte| **byte == b'\n').count();
            let error = ended.unwrap_err();
            // Between two lines, the next one is missing.
            let told = [line, line + 1].map(|line| format!("invites.jsonl:{line}: "));
            assert!(told.iter().any(|told| error.starts_with(told)), "{cut}: {error}");
            let of_many = items.iter().find_map(|item| if let Item::Invite(it) = item { Some(it) } else { None });
            assert!(of_many.is_none_or(|it| it.uses.len() == 1), "{cut}");
        }
    }

    #[test]
    fn whatever_is_changed_is_read_or_told_with_its_line() {
        let mut random = StdRng::seed_from_u64(20);
        let mut told = 0;
        for _ in 0..1000 {
            let mut text = EXPORT.as_bytes().to_vec();
            for _ in 0..random.random_range(1..4) {
                let (one, other) = (random.random_range(0..text.len()), random.random_range(0..text.len()));
                match random.random_range(0..5) {
                    0 => text[one] = random.random(),
                    1 => drop(text.remove(one)),
                    2 => text.swap(one, other),
                    3 => text.truncate(one.max(1)),
                    _ => {
                        let piece = text[one.min(other)..one.max(other)].to_vec();
                        text.splice(one..one, piece);
                    }
                }
            }
            let (items, ended) = found(&text);
            assert!(items.iter().all(|item| matches!(item, Item::Invite(_) | Item::Account(_))));
            if let Err(error) = ended {
                told += 1;
                let said = error.strip_prefix("invites.jsonl:").and_then(|rest| rest.split_once(": "));
                let (line, said) = said.unwrap_or_else(|| panic!("{error}"));
                assert!(line.parse::<usize>().is_ok_and(|line| line > 0) && said.contains("expected "), "{error}");
            }
        }
        assert!((500..1000).contains(&told), "{told}");
    }
}
