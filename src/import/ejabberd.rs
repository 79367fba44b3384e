//! Invites of ejabberd's mod_invites, versions 26.01 to 26.07, from the SQL database, or from a
//! text in one of three formats, which is recognised by its beginning.
//!
//! ejabberd keeps an invite that was used, and marks it. An invite that is not in a text may be in
//! another text, so only a database counts as having all invites of a host ([`Item::Whole`]).

mod dump;
mod listed;
mod records;
mod row;
mod table;
mod terms;

use std::collections::HashSet;
use std::path::PathBuf;

use jid::DomainPart;
use jiff::Timestamp;
use tokio::sync::mpsc;

use self::dump::Dump;
use self::records::{Format, Records};
use self::row::Row;
use crate::database::{BadStoreUrl, Foreign, StoreUrl};
use crate::import::{Item, open, send};
use crate::invite::InviteType;

/// Where the invites are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file, or in stdin where the path is `-`. It is what `ejabberdctl list_invites` prints,
    /// the answer of `list_invites` of the HTTP API (or each invite of it as an object, one after
    /// the other), or what `ejabberdctl dump` or `dump_table` writes.
    File(PathBuf),
    /// In an SQL database.
    Database(StoreUrl),
}

/// The database that a URL means.
///
/// # Errors
/// What was expected.
pub fn database(url: &str) -> Result<StoreUrl, String> {
    url.parse().map_err(|error| match error {
        BadStoreUrl::Unknown => "expected sqlite:FILE or postgres://USER@HOST/DATABASE; what is in another database, \
                                 `ejabberdctl list_invites` prints"
            .to_owned(),
        error => error.to_string(),
    })
}

/// Reads the invites of these hosts. Of other hosts, they are only counted.
///
/// # Errors
/// If they cannot be read, or something there is not what ejabberd writes.
pub async fn read(
    source: Source,
    hosts: Vec<DomainPart>,
    now: Timestamp,
    items: mpsc::Sender<Item>,
) -> anyhow::Result<()> {
    let mut job = Job { hosts, now, items, unclear: 0 };
    tokio::task::spawn_blocking(move || {
        match source {
            Source::File(path) => {
                let (name, reader) = open(&path)?;
                job.read(Records::new(name, reader)?)
            }
            Source::Database(url) => Foreign::with(&url, |database| job.read_database(database)),
        }?;
        if job.unclear > 0 {
            // Commands show what is logged under this target.
            tracing::warn!(
                target: "easy_invite",
                "{} of the pending links to contacts may register an account in ejabberd, which does not say so here: \
                 those that are new make contacts alone. To keep them as they are, import what `ejabberdctl \
                 list_invites` prints first",
                job.unclear
            );
        }
        Ok(())
    })
    .await?
}

/// What is to be read, and where to.
struct Job {
    hosts: Vec<DomainPart>,
    now: Timestamp,
    items: mpsc::Sender<Item>,
    /// Of how many pending invites the source does not say whether they register an account.
    unclear: u64,
}

impl Job {
    fn read(&mut self, mut records: Records<'_>) -> anyhow::Result<()> {
        let (mut text, mut dump) = (Vec::new(), Dump::default());
        while let Some(line) = records.next(&mut text)? {
            let row = match records.format() {
                Format::Json => listed::from_json(&text).map(Some).map_err(|at| (line + at as u64 - 1, listed::OBJECT)),
                Format::Lines => listed::from_line(&text).map(Some).ok_or((line, listed::LINE)),
                Format::Terms => dump.read(&text).map_err(|what| (line, what)),
            };
            let row = row.map_err(|(line, what)| records.expected(line, what))?;
            if let Some(row) = row {
                self.send_row(row, records.place(line))?;
            }
        }
        Ok(())
    }

    fn read_database(&mut self, database: &mut Foreign) -> anyhow::Result<()> {
        let (hosts, mut number, mut found) = (self.hosts.clone(), 0, HashSet::new());
        table::read(database, &hosts, |row| {
            number += 1;
            found.extend(self.send_row(row, format!("invite_token, row {number}"))?);
            Ok(())
        })?;
        found.into_iter().try_for_each(|host| send(&self.items, Item::Whole(host)))
    }

    /// Sends the item for an invite. Returns the host of an invite that is imported.
    fn send_row(&mut self, row: Row, place: String) -> anyhow::Result<Option<DomainPart>> {
        let registers = row.registers;
        let item = row.into_item(&self.hosts, place, self.now)?;
        let host = match &item {
            Item::Invite(it) => {
                let pending = it.uses.is_empty() && it.invite.usable(self.now).is_ok();
                let unclear = it.invite.invite_type == InviteType::Contact && pending && registers.is_none();
                self.unclear += u64::from(unclear);
                Some(it.invite.host.clone())
            }
            _ => None,
        };
        send(&self.items, item)?;
        Ok(host)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng};

    use super::*;
    use crate::import::{Imported, Kind, Reason, Used, channel};
    use crate::invite::{Issuer, Program, Purpose, State, Token};

    /// The time of the tests.
    const NOW: &str = "2026-12-01T12:00:00Z";

    /// An invite in the words of `list_invites`.
    #[derive(Clone)]
    struct Listed {
        token: &'static str,
        valid: bool,
        created_at: &'static str,
        expires: &'static str,
        kind: &'static str,
        inviter: &'static str,
        invitee: &'static str,
        account_name: &'static str,
        uri: &'static str,
    }

    const PENDING: Listed = Listed {
        token: "operators1jplpi2mgond100",
        valid: true,
        created_at: "2026-11-30T00:16:04Z",
        expires: "2026-12-05T00:16:04Z",
        kind: "account_only",
        inviter: "example.org",
        invitee: "",
        account_name: "",
        uri: "xmpp:example.org?register;preauth=operators1jplpi2mgond100",
    };

    impl Listed {
        fn line(&self) -> String {
            let Listed { token, valid, created_at, expires, kind, inviter, invitee, account_name, uri } = self;
            format!(
                "{token}\t{valid}\t{created_at}\t{expires}\t{kind}\t{inviter}\t{invitee}\t{account_name}\t{uri}\t\
                 http://example.org:5280/invites/{token}\n"
            )
        }

        fn object(&self) -> String {
            let Listed { token, valid, created_at, expires, kind, inviter, invitee, account_name, uri } = self;
            format!(
                "{{\"account_name\":\"{account_name}\",\"created_at\":\"{created_at}\",\"expires\":\"{expires}\",\
                 \"invitee\":\"{invitee}\",\"inviter\":\"{inviter}\",\"landing_page\":\
                 \"http://example.org:5280/invites/{token}\",\"token\":\"{token}\",\"token_uri\":\"{uri}\",\
                 \"type\":\"{kind}\",\"valid\":\"{valid}\"}}"
            )
        }

        fn term(&self) -> String {
            let Listed { token, created_at, expires, kind, inviter, invitee, account_name, .. } = self;
            let (name, host) = inviter.split_once('@').unwrap_or(("", inviter));
            let number = |digits: &str| digits.parse::<i64>().unwrap().to_string();
            let time = |text: &str| {
                let numbers: Vec<String> = text.trim_end_matches('Z').split(['-', 'T', ':']).map(number).collect();
                format!("{{{{{}}},{{{}}}}}", numbers[..3].join(","), numbers[3..].join(","))
            };
            let binary = |text: &str| if text.is_empty() { "<<>>".to_owned() } else { format!("<<\"{text}\">>") };
            format!(
                "{{invite_token,{},\n              {{{},{}}},\n              {},\n              {},\n              \
                 {},\n              {kind},{}}}.\n",
                binary(token),
                binary(name),
                binary(host),
                binary(invitee),
                time(created_at),
                time(expires),
                binary(account_name),
            )
        }
    }

    const TABLES: &str = "{tables,[{invite_token,[{record_name,invite_token},\n                        \
                          {attributes,[token,inviter,invitee,created_at,expires,\n                                     \
                          type,account_name]}]}]}.\n";

    /// The same invites in each format: how it is called, and the text.
    fn formats(listed: &[Listed]) -> [(&'static str, String); 5] {
        let objects: Vec<String> = listed.iter().map(Listed::object).collect();
        [
            ("list_invites", listed.iter().map(Listed::line).collect()),
            ("http", format!("[{}]", objects.join(","))),
            ("pretty", format!("[\n  {}\n]\n", objects.join(",\n  ").replace("\":\"", "\" : \""))),
            ("lines of JSON", objects.join("\n")),
            ("dump_table", TABLES.to_owned() + &listed.iter().map(Listed::term).collect::<String>()),
        ]
    }

    /// What is found in a text, and how reading it ends.
    fn found(text: &[u8]) -> (Vec<Item>, anyhow::Result<()>) {
        let hosts = ["example.org", "münchen.example"].map(|host| crate::jids::domain(host).unwrap());
        let (sender, mut receiver) = channel();
        std::thread::scope(|scope| {
            let items = scope.spawn(move || std::iter::from_fn(|| receiver.blocking_recv()).collect::<Vec<_>>());
            let records = Records::new("invites.txt".to_owned(), text);
            let mut job = Job { hosts: hosts.to_vec(), now: NOW.parse().unwrap(), items: sender, unclear: 0 };
            let ended = records.and_then(|records| job.read(records));
            drop(job);
            (items.join().unwrap(), ended)
        })
    }

    /// The invites in each format.
    fn each(listed: &[Listed]) -> Vec<(&'static str, Vec<Item>)> {
        let read = |(format, text): (_, String)| {
            let (items, ended) = found(text.as_bytes());
            ended.unwrap_or_else(|error| panic!("{format}: {error:#}\n{text}"));
            assert_eq!(items.len(), listed.len(), "{format}");
            (format, items)
        };
        formats(listed).into_iter().map(read).collect()
    }

    fn only(items: Vec<Item>) -> Imported {
        match <[Item; 1]>::try_from(items).unwrap() {
            [Item::Invite(imported)] => *imported,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_type_of_ejabberd_is_a_type_of_ours() {
        let of_alice = Listed { inviter: "Alice@example.org", ..PENDING };
        let roster = Listed { kind: "roster_only", ..of_alice.clone() };
        let used = |purpose, account: &str| Some((purpose, account.parse().unwrap()));
        for (listed, invite_type, username, inviter, used) in [
            (PENDING, InviteType::Account, None, None, None),
            (Listed { account_name: "Carol", ..PENDING }, InviteType::Account, Some("carol"), None, None),
            (of_alice.clone(), InviteType::Account, None, Some("alice"), None),
            (
                Listed { kind: "account_subscription", account_name: "dave", ..of_alice.clone() },
                InviteType::AccountAndContact,
                Some("dave"),
                Some("alice"),
                None,
            ),
            (
                Listed { kind: "account_subscription", invitee: "Erin@example.org", valid: false, ..of_alice },
                InviteType::AccountAndContact,
                None,
                Some("alice"),
                used(Purpose::Register, "erin@example.org"),
            ),
            (
                Listed { kind: "reset_token", account_name: "Alice", ..PENDING },
                InviteType::PasswordReset,
                Some("alice"),
                None,
                None,
            ),
            (
                Listed { kind: "reset_token", account_name: "Alice", invitee: "alice@example.org", ..PENDING },
                InviteType::PasswordReset,
                Some("alice"),
                None,
                used(Purpose::Reset, "alice@example.org"),
            ),
            (roster.clone(), InviteType::Contact, None, Some("alice"), None),
            (
                Listed { account_name: "frank", ..roster.clone() },
                InviteType::AccountAndContact,
                None,
                Some("alice"),
                used(Purpose::Register, "frank@example.org"),
            ),
            (
                Listed { invitee: "romeo@elsewhere.example", ..roster },
                InviteType::Contact,
                None,
                Some("alice"),
                used(Purpose::Contact, "romeo@elsewhere.example"),
            ),
        ] {
            for (format, items) in each(std::slice::from_ref(&listed)) {
                let Imported { invite, uses, .. } = only(items);
                assert_eq!(invite.invite_type, invite_type, "{format}");
                assert_eq!(invite.username.as_ref().map(|name| name.as_str()), username, "{format}");
                let of_inviter = invite.inviter.as_ref().and_then(|jid| jid.node()).map(|node| node.to_string());
                assert_eq!(of_inviter.as_deref(), inviter, "{format}");
                // Whoever made it as a user needs a user's right. An operator needs nobody's.
                let issuer = if inviter.is_some() { Issuer::User } else { Issuer::Operator };
                assert_eq!((invite.issuer, invite.max_uses, invite.uses), (issuer, Some(1), 0), "{format}");
                let uses: Vec<_> = uses.into_iter().map(|Used { purpose, account, .. }| (purpose, account)).collect();
                assert_eq!(uses, Vec::from_iter(used.clone()), "{format}");
                assert_eq!(invite.token_hash, Token::parse(listed.token).unwrap().hash());
                assert_eq!((invite.imported_from, invite.token_length), (Some(Program::Ejabberd), Some(24)));
                assert_eq!(invite.state(NOW.parse().unwrap()), State::Pending);
                assert_eq!(invite.created_at.to_string(), "2026-11-30T00:16:04Z");
                assert_eq!(invite.expires_at.unwrap().to_string(), "2026-12-05T00:16:04Z");
            }
        }
    }

    #[test]
    fn a_link_that_registers_goes_on_to_do_so() {
        let uri = "xmpp:alice@example.org?roster;preauth=operators1jplpi2mgond100;ibr=y";
        let listed = Listed { kind: "roster_only", inviter: "alice@example.org", uri, ..PENDING };
        for (format, items) in each(&[listed]) {
            // A dump does not tell whether its link says so.
            let expected = if format == "dump_table" { InviteType::Contact } else { InviteType::AccountAndContact };
            assert_eq!(only(items).invite.invite_type, expected, "{format}");
        }
    }

    #[test]
    fn what_ejabberd_does_not_take_any_more_has_ended() {
        let now = NOW.parse().unwrap();
        for (created_at, expires, valid, state) in [
            ("2026-11-30T00:16:04Z", "2026-12-01T12:00:00Z", false, State::Expired),
            ("2026-11-30T00:16:04Z", "2026-12-01T12:00:01Z", true, State::Pending),
            // `expire_invite_by_token` has done this.
            ("2026-11-30T00:16:04Z", "1970-01-01T00:00:01Z", false, State::Revoked),
            ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", true, State::Pending),
            ("9998-01-01T00:00:00Z", "9999-01-01T00:00:00Z", true, State::Pending),
        ] {
            for (format, items) in each(&[Listed { created_at, expires, valid, ..PENDING }]) {
                let Item::Invite(imported) = &items[0] else {
                    // It is no instant here.
                    assert_eq!((expires, imported_reason(&items)), ("9999-12-31T23:59:59Z", Reason::Malformed));
                    continue;
                };
                assert_eq!(imported.invite.state(now), state, "{format}");
                assert!(imported.invite.created_at <= now, "{format}");
                assert!(imported.invite.expires_at.unwrap() >= imported.invite.created_at, "{format}");
            }
        }
        let refused = Listed { valid: false, ..PENDING };
        let mut states = each(&[refused]).into_iter().map(|(format, items)| (format, only(items).invite.state(now)));
        assert!(states.all(|(format, state)| state == State::Revoked || format == "dump_table"));
        let endless = Listed { expires: "****-07-17T10:02:44Z", ..PENDING };
        for text in [endless.line(), endless.object(), PENDING.term().replace("{{2026,12,5}", "{{33715,12,5}")] {
            assert_eq!(only(found(text.as_bytes()).0).invite.expires_at, None);
        }
    }

    fn imported_reason(items: &[Item]) -> Reason {
        match items {
            [Item::Skipped(skipped)] => skipped.reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_here_is_skipped_with_its_reason() {
        let roster = Listed { kind: "roster_only", ..PENDING };
        for (listed, reason) in [
            (Listed { inviter: "other.example", ..PENDING }, Reason::OtherHost),
            (Listed { inviter: "alice@other.example", ..PENDING }, Reason::OtherHost),
            (Listed { inviter: "not a host", ..PENDING }, Reason::Name),
            (Listed { token: "short", ..PENDING }, Reason::Token),
            (Listed { token: "with a blank in the token", ..PENDING }, Reason::Token),
            (Listed { account_name: "no name", ..PENDING }, Reason::Name),
            (Listed { invitee: "no@account@example.org", ..PENDING }, Reason::Name),
            (Listed { invitee: "romeo@other.example", ..PENDING }, Reason::Malformed),
            (Listed { kind: "of_a_later_version", ..PENDING }, Reason::Unsupported),
            (Listed { kind: "reset_token", ..PENDING }, Reason::Malformed),
            (roster, Reason::Malformed),
            (Listed { created_at: "2026-02-31T00:16:04Z", ..PENDING }, Reason::Malformed),
            (Listed { expires: "2026-13-01T00:16:04Z", ..PENDING }, Reason::Malformed),
        ] {
            for (format, items) in each(std::slice::from_ref(&listed)) {
                let [Item::Skipped(skipped)] = items.as_slice() else { panic!("{format}: {items:?}") };
                assert_eq!((skipped.kind, skipped.reason), (Kind::Invite, reason), "{format}");
                let hash = Token::parse(listed.token).map(|token| token.hash());
                assert_eq!(skipped.token_hash, hash, "{format}");
            }
        }
    }

    #[test]
    fn names_and_hosts_are_read_however_they_are_written() {
        let listed = Listed { account_name: "J\u{fc}rgen", inviter: "STRASSE@M\u{fc}nchen.Example", ..PENDING };
        for (format, items) in each(&[listed]) {
            let invite = only(items).invite;
            assert_eq!(invite.username.unwrap().as_str(), "jürgen", "{format}");
            assert_eq!(invite.inviter.unwrap().as_str(), "strasse@münchen.example", "{format}");
        }
        let term = PENDING.term().replace(",<<>>}.", ",<<74,195,188,\"rg\"\n    \"en\"/utf8>>}.");
        assert_eq!(only(found(term.as_bytes()).0).invite.username.unwrap().as_str(), "jürgen");
    }

    #[test]
    fn other_programs_may_have_touched_the_text() {
        for (format, text) in formats(&[PENDING, Listed { token: "another1jplpi2mgond100000", ..PENDING }]) {
            for text in [format!("\u{feff}{text}"), text.replace('\n', "\r\n"), format!("\n\n{text}\n\n")] {
                let (items, ended) = found(text.as_bytes());
                ended.unwrap_or_else(|error| panic!("{format}: {error:#}"));
                assert!(matches!(items.as_slice(), [Item::Invite(_), Item::Invite(_)]), "{format}");
            }
        }
        // `jq` may have sorted the keys, and a later version may say more.
        let object = PENDING.object().replacen('{', r#"{"uses":{"of":["a later","version"]},"#, 1);
        assert_eq!(found(object.replace(r#""true""#, "true").as_bytes()).0.len(), 1);
        let reordered = TABLES.replace("token,inviter,", "since,inviter,token,") + &PENDING.term();
        let reordered = reordered.replace("<<\"operators1jplpi2mgond100\">>", "{}");
        let reordered =
            reordered.replace("<<\"example.org\">>},", "<<\"example.org\">>},<<\"moved1jplpi2mgond100\">>,");
        assert_eq!(only(found(reordered.as_bytes()).0).invite.token_length, Some(20));
    }

    #[test]
    fn a_dump_of_all_tables_has_invites_among_others() {
        let tables = "{tables,[{passwd,[{record_name,passwd},{attributes,[us,password]}]},\n         \
                      {'odd name',[]},\n         ";
        let other = "{passwd,{<<\"a.\\\"b\">>,<<\"example.org\">>},\n        \
                     {scram,#{a => 1.5e3},<<\"}. {\">>,#Fun<x.1>,sha,4096}}.\n";
        let text = TABLES.replace("{tables,[", tables) + other + &PENDING.term() + "% the end.\n" + other;
        let (items, ended) = found(text.as_bytes());
        ended.unwrap();
        assert_eq!(only(items).place, "invites.txt:8");
        for (text, line) in [(other.to_owned(), 1), (TABLES.replace("invite_token", "invites") + other, 1)] {
            let error = found(text.as_bytes()).1.unwrap_err().to_string();
            assert!(error.starts_with(&format!("invites.txt:{line}: expected a dump of Mnesia's tables")), "{error}");
        }
        let earlier = TABLES.replace(",account_name", "");
        assert!(found(earlier.as_bytes()).1.is_err(), "a version without account_name");
    }

    #[test]
    fn what_is_no_text_of_ejabberd_is_refused() {
        let utf_16: Vec<u8> = PENDING.line().encode_utf16().flat_map(u16::to_le_bytes).collect();
        // The letter of ISO 8859-1 that stands for the control character.
        let latin_1 = |text: String| text.bytes().map(|byte| if byte == 1 { 0xfc } else { byte }).collect();
        let juergen = Listed { account_name: "j\u{1}rgen", ..PENDING };
        for (text, expected) in [
            (Vec::new(), "invites.txt:1: expected invites, and it is empty"),
            (b" \n".to_vec(), "invites.txt:1: expected invites, and it is empty"),
            (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec(), "invites.txt:1: expected text in UTF-8"),
            (utf_16.clone(), "invites.txt:1: expected text in UTF-8"),
            ([b"\xff\xfe".to_vec(), utf_16].concat(), "invites.txt:1: expected text in UTF-8"),
            (b"SQLite format 3\0".to_vec(), "invites.txt is a database: name it with --sql sqlite:"),
            (b"Error: \"Virtual host not known\"".to_vec(), "invites.txt:1: expected an invite of `ejabberdctl"),
            (b"{\"status\":\"error\",\"code\":10}".to_vec(), "invites.txt:1: expected an invite of `list_invites`"),
            (b"<html>".to_vec(), "invites.txt:1: expected an invite of `ejabberdctl list_invites`"),
            ((PENDING.line() + "a\tb\n").into_bytes(), "invites.txt:2: expected an invite of `ejabberdctl"),
            ((PENDING.object() + "\n\n[[1]]").into_bytes(), "invites.txt:3: expected an object of JSON"),
            (b"[\n{\n\"token\":\n3}]".to_vec(), "invites.txt:4: expected an invite of `list_invites`"),
            ((TABLES.to_owned() + "{invite_token,1}.").into_bytes(), "invites.txt:4: expected a record of the table"),
            (latin_1(juergen.line()), "invites.txt:1: expected an invite of `ejabberdctl"),
            (latin_1(juergen.object()), "invites.txt:1: expected an invite of `list_invites`"),
            (latin_1(juergen.term()), "invites.txt:1: expected a record of the table"),
        ] {
            let error = found(&text).1.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_text_that_is_cut_is_an_error_unless_all_before_is_whole() {
        for (format, text) in formats(&[PENDING, PENDING, PENDING]) {
            for end in 1..text.len() {
                let (items, ended) = found(&text.as_bytes()[..end]);
                let whole = match format {
                    "list_invites" => text[..end].lines().filter(|line| line.matches('\t').count() == 9).count(),
                    "dump_table" => text[..end].matches("}.").count().saturating_sub(1),
                    "lines of JSON" => text[..end].matches('}').count(),
                    _ => text[..end].matches(']').count() * 3,
                };
                match ended {
                    Ok(()) => assert_eq!(items.len(), whole, "{format}: cut after {end} bytes"),
                    Err(error) => assert!(error.to_string().starts_with("invites.txt:"), "{error}"),
                }
            }
        }
    }

    /// What somebody, or a broken disk, may have made of a text: with the same seed, the same.
    #[test]
    fn a_thousand_mutations_end_in_invites_or_an_error_with_its_place() {
        let mut random = StdRng::seed_from_u64(20);
        let listed = [PENDING, Listed { inviter: "alice@example.org", kind: "roster_only", ..PENDING }];
        let texts = formats(&listed);
        for round in 0..1000 {
            let (format, text) = &texts[round % texts.len()];
            let mut bytes = text.clone().into_bytes();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..6) {
                    0 => bytes[at] = random.random(),
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"{}[]\"'\\,.%<>\t\n\r\0"[random.random_range(0..16)]),
                    3 => bytes.truncate(at.max(1)),
                    4 => bytes.splice(at..at, b"[".repeat(random.random_range(1..100_000))).for_each(drop),
                    _ => bytes.extend_from_within(at..),
                }
            }
            let (items, ended) = found(&bytes);
            let mut said = String::new();
            for item in items {
                match item {
                    Item::Invite(imported) => said += &imported.place,
                    Item::Skipped(skipped) => write!(said, "{} {}", skipped.place, skipped.reason).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            if let Err(error) = ended {
                assert!(error.to_string().starts_with("invites.txt"), "{format}: {error:#}");
                write!(said, "{error:#}").unwrap();
            }
            assert!(!said.contains("1jplpi2mgond1"), "{format}: {said}");
        }
    }

    /// A database as ejabberd makes it, with one row for each of these; one host's without
    /// `server_host`.
    fn database(folder: &Path, server_host: bool, rows: &[Listed]) -> StoreUrl {
        let path = folder.join("ejabberd.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        let host = if server_host { "server_host text NOT NULL," } else { "" };
        database
            .execute_batch(&format!(
                "CREATE TABLE invite_token (token text NOT NULL, username text NOT NULL, {host} \
                 invitee text NOT NULL DEFAULT '', created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, \
                 expires timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, type character(1) NOT NULL, \
                 account_name text NOT NULL, PRIMARY KEY (token))"
            ))
            .unwrap();
        for Listed { token, created_at, expires, kind, inviter, invitee, account_name, .. } in rows {
            let (name, host) = inviter.split_once('@').unwrap_or(("", inviter));
            let time = |text: &str| text.replace('T', " ").replace('Z', "");
            let letter = match *kind {
                "roster_only" => "R",
                "account_subscription" => "S",
                "account_only" => "A",
                "reset_token" => "T",
                other => other,
            };
            let insert = "INSERT INTO invite_token (token, username, invitee, created_at, expires, type, account_name) \
                          VALUES (?, ?, ?, ?, ?, ?, ?)";
            let values = [token, name, invitee, &time(created_at), &time(expires), letter, account_name];
            match server_host {
                true => {
                    let insert = insert.replace("(token,", "(server_host, token,").replacen("(?", "(?, ?", 1);
                    database.execute(&insert, rusqlite::params_from_iter(std::iter::once(&host).chain(&values)))
                }
                false => database.execute(insert, values),
            }
            .unwrap();
        }
        StoreUrl::Sqlite(path)
    }

    /// What is found in a database for these hosts, and how reading it ends.
    fn found_in(url: &StoreUrl, hosts: &[&str]) -> (Vec<Item>, anyhow::Result<()>) {
        let hosts = hosts.iter().map(|host| crate::jids::domain(host).unwrap()).collect();
        let (sender, mut receiver) = channel();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let reading = runtime.spawn(read(Source::Database(url.clone()), hosts, NOW.parse().unwrap(), sender));
        let items = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        (items, runtime.block_on(reading).unwrap())
    }

    /// What lies in a folder, with what is in it and when it was changed.
    fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let read = |path: PathBuf| {
            let changed = path.metadata().unwrap().modified().unwrap();
            (path.clone(), std::fs::read(&path).unwrap(), changed)
        };
        let mut files: Vec<_> = files.map(read).collect();
        files.sort();
        files
    }

    #[test]
    fn a_database_says_the_same_as_a_dump() {
        let listed = [
            PENDING,
            Listed { kind: "roster_only", inviter: "alice@example.org", token: "b1jplpi2mgond100", ..PENDING },
            Listed { kind: "account_subscription", inviter: "alice@example.org", token: "c1jplpi2mgond100", ..PENDING },
            Listed { kind: "reset_token", account_name: "alice", token: "d1jplpi2mgond100", ..PENDING },
            Listed { invitee: "erin@example.org", token: "e1jplpi2mgond100", ..PENDING },
            Listed { expires: "1970-01-01T00:00:01Z", token: "f1jplpi2mgond100", ..PENDING },
            Listed { kind: "x", token: "g1jplpi2mgond100", ..PENDING },
        ];
        let told = |items: Vec<Item>| -> Vec<String> {
            let told = |item| match item {
                Item::Invite(it) => {
                    format!("{:?}", (it.invite.invite_type, it.invite.inviter, it.invite.revoked_at, it.uses))
                }
                Item::Skipped(it) => format!("{:?}", (it.reason, it.host, it.token_hash)),
                other => format!("{other:?}"),
            };
            items.into_iter().map(told).collect()
        };
        let (dump, _) = found((TABLES.to_owned() + &listed.iter().map(Listed::term).collect::<String>()).as_bytes());
        for server_host in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let url = database(folder.path(), server_host, &listed);
            let before = contents(folder.path());
            let (items, ended) = found_in(&url, &["example.org"]);
            ended.unwrap();
            let mut expected = told(dump.clone());
            expected.push("Whole(DomainPart(\"example.org\"))".to_owned());
            assert_eq!(told(items), expected);
            assert_eq!(contents(folder.path()), before);
        }
    }

    #[test]
    fn a_database_that_does_not_tell_whose_invites_it_has_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = database(folder.path(), false, &[PENDING]);
        for hosts in [&[][..], &["example.org", "example.net"]] {
            let error = found_in(&url, hosts).1.unwrap_err().to_string();
            assert!(error.ends_with("does not say of which host its invites are: name one HOST"), "{error}");
        }
        let path = folder.path().join("ejabberd.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        database.execute_batch("ALTER TABLE invite_token DROP COLUMN account_name").unwrap();
        let error = found_in(&url, &["example.org"]).1.unwrap_err().to_string();
        assert!(error.ends_with("with the column account_name"), "{error}");
        database.execute_batch("DROP TABLE invite_token").unwrap();
        let error = found_in(&url, &["example.org"]).1.unwrap_err().to_string();
        assert!(error.contains("expected the table invite_token of ejabberd 26"), "{error}");
        std::fs::write(&path, "SQLite, or not").unwrap();
        assert!(found_in(&url, &["example.org"]).1.is_err());
    }

    #[test]
    fn a_database_is_left_as_it_is_whatever_is_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let url = database(folder.path(), true, &[PENDING]);
        let path = folder.path().join("ejabberd.db");
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA journal_mode = WAL; DELETE FROM invite_token").unwrap();
        // Its program is at work, and the change is in the log alone.
        let names = |folder| contents(folder).into_iter().map(|(path, ..)| path).collect::<Vec<_>>();
        let before = names(folder.path());
        assert_eq!(before.len(), 3, "{before:?}");
        assert_eq!(found_in(&url, &["example.org"]).0.len(), 0);
        assert_eq!(names(folder.path()), before);
        // Nobody waits for whoever reads.
        other.execute_batch("INSERT INTO invite_token VALUES ('t', '', 'example.org', '', '', '', 'A', '')").unwrap();
        drop(other);
        let before = contents(folder.path());
        assert_eq!(before.len(), 1, "{before:?}");
        assert_eq!(found_in(&url, &["example.org"]).0.len(), 1);
        assert_eq!(contents(folder.path()), before);
    }
}
