//! Invites of Prosody's own modules, in its data folder or its SQL database: mod_invites, of
//! Prosody 0.12 and 13 and of the community for 0.11, and the community's mod_invites_tracking.
//!
//! An invite that registers is in the store `invite_token` of its host, under its token. An invite
//! that makes a contact is in the store of that name of its inviter, which keeps only when it
//! expires. Many invites are in both: this module calls the inviter's part the half. The halves are
//! read first. Prosody writes the host's part first and removes it last, so an invite that is made
//! during the import is never taken for one that makes contacts alone.
//!
//! Prosody removes an invite that was used or revoked, and keeps one that has expired.

mod files;
mod sql;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jid::{BareJid, DomainPart, NodePart};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::lua_data::Value;
use super::{By, Imported, Item, Joined, Kind, Reason, Skipped, length, send};
use crate::database::{BadStoreUrl, StoreUrl};
use crate::invite::{Invite, InviteId, InviteType, Issuer, NoRandomness, Program, Token, TokenHash, username};
use crate::jids;
use crate::policy::{LONGEST_NOTE, is_name};

/// The stores that are read: invites, and the invite by which each account joined.
const INVITES: &str = "invite_token";
const TRACKING: &str = "invites_tracking";

/// What mod_invites_tracking keeps for an account: the token, and the source of the invite.
const TRACKED: [&str; 2] = ["invite_id", "invite_source"];

/// The fields of an invite that are imported, or follow from its token.
const KEPT: [&str; 9] =
    ["type", "jid", "token", "uri", "allow_registration", "additional_data", "created_at", "expires", "reusable"];

/// The fields of its `additional_data` that are imported: the first only if it names an account.
const MORE: [&str; 5] = ["source", "roles", "groups", "note", "allow_reset"];

/// How many names of fields that are left out are listed.
const MOST_LEFT_OUT: usize = 50;

/// How many roles or groups an invite has at most.
const MOST_NAMES: usize = 100;

/// The lifetime of an invite, unless Prosody's configuration has another.
const USUAL_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Where Prosody keeps its data.
#[derive(Clone, Debug)]
pub enum Source {
    /// In files, in this folder.
    Folder(PathBuf),
    /// In an SQL database.
    Sql(StoreUrl),
}

/// The database that a text means: a URL of this program or of Prosody (`SQLite3:///FILE`,
/// `PostgreSQL://USER@HOST/DATABASE`), or the name of a file.
///
/// # Errors
/// What was expected.
pub fn database(text: &str) -> Result<StoreUrl, String> {
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    match scheme.to_ascii_lowercase().as_str() {
        "mysql" => Err("MySQL is not read: docs/moving.md says how Prosody itself copies its invites from there into \
                        files"
            .to_owned()),
        "sqlite" | "sqlite3" => format!("sqlite:{rest}").parse().map_err(|error: BadStoreUrl| error.to_string()),
        "postgres" | "postgresql" => format!("postgres:{rest}").parse().map_err(|error: BadStoreUrl| error.to_string()),
        _ if text.is_empty() || text.contains("://") => Err(BadStoreUrl::Unknown.to_string()),
        _ => Ok(StoreUrl::Sqlite(text.into())),
    }
}

/// Reads the invites of these hosts, and which accounts joined by them. Those of other hosts are
/// sent as skipped.
///
/// # Errors
/// If there is no data of Prosody, or some of it cannot be read.
pub async fn read(
    source: Source,
    hosts: Vec<DomainPart>,
    now: Timestamp,
    items: mpsc::Sender<Item>,
) -> anyhow::Result<()> {
    let job = Job { hosts, now, items };
    let read = move || match source {
        Source::Folder(folder) => files::read(&folder, &job),
        Source::Sql(url) => sql::read(&url, &job),
    };
    tokio::task::spawn_blocking(read).await?
}

/// What is to be read, and where to.
struct Job {
    hosts: Vec<DomainPart>,
    now: Timestamp,
    items: mpsc::Sender<Item>,
}

impl Job {
    fn send(&self, item: Item) -> anyhow::Result<()> {
        send(&self.items, item)
    }
}

/// A host whose data are being read: first the halves of its users, then its own invites, then the
/// accounts that joined.
struct Host<'a> {
    job: &'a Job,
    name: DomainPart,
    /// The halves for which the host's part has not been found yet.
    halves: HashMap<TokenHash, Half>,
    /// The fields that are left out, and how many invites have them.
    left_out: BTreeMap<String, u64>,
    /// Whether this source has, or had, its invites. They may be in another source.
    has_invites: bool,
}

/// The inviter's part of an invite.
struct Half {
    inviter: Arc<BareJid>,
    token_length: Option<u32>,
    expires_at: Option<Timestamp>,
    place: Place,
}

/// Where something is: a file or a table, and in a file the line.
#[derive(Clone)]
struct Place(Arc<str>, Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(line) => write!(f, "{}, line {line}", self.0),
            None => f.write_str(&self.0),
        }
    }
}

impl<'a> Host<'a> {
    fn new(job: &'a Job, name: DomainPart) -> Self {
        Host { job, name, halves: HashMap::new(), left_out: BTreeMap::new(), has_invites: false }
    }

    fn is_wanted(&self) -> bool {
        self.job.hosts.contains(&self.name)
    }

    /// The account of a user who has data; `None` if there is no such user: mod_invites_tracking
    /// keeps its version under the name " ", and prosody-migrator keeps the host's data under an
    /// empty name.
    fn account(&self, user: &[u8]) -> Option<Result<Arc<BareJid>, Reason>> {
        let name = std::str::from_utf8(user).ok().and_then(|user| username(user).ok());
        (!matches!(user, b"" | b" ")).then(|| name.map(|name| Arc::new(self.jid(&name))).ok_or(Reason::Name))
    }

    fn jid(&self, name: &NodePart) -> BareJid {
        BareJid::from_parts(Some(name), &self.name)
    }

    /// Takes the inviter's part of an invite.
    fn half(&mut self, inviter: &Arc<BareJid>, token: &Value, end: &Value, place: Place) -> anyhow::Result<()> {
        self.has_invites = true;
        let Some(token) = token.text().and_then(Token::parse) else {
            return self.skip(Kind::Invite, None, Reason::Token, &place);
        };
        let (token_hash, token_length) = (token.hash(), length(&token));
        match (instant(end), self.halves.entry(token_hash)) {
            (None, _) => self.skip(Kind::Invite, Some(token_hash), Reason::Malformed, &place),
            (_, Entry::Occupied(_)) => self.skip(Kind::Invite, Some(token_hash), Reason::SameToken, &place),
            (Some(expires_at), Entry::Vacant(entry)) => {
                entry.insert(Half { inviter: inviter.clone(), token_length, expires_at, place });
                Ok(())
            }
        }
    }

    /// Takes the host's part of an invite, which may be all of it.
    fn invite(&mut self, token: &Value, value: &Value, place: &Place) -> anyhow::Result<()> {
        self.has_invites = true;
        let Some(token) = token.text().and_then(Token::parse) else {
            return self.skip(Kind::Invite, None, Reason::Token, place);
        };
        // Prosody removes the half with the inviter's account. So an invite with its half belongs
        // to the account that there is now, however new that seems to be: Prosody resets a password
        // by making the account anew. An admin's invite has no half.
        let half = self.halves.remove(&token.hash());
        match self.invite_of(token.hash(), length(&token), value) {
            Ok(invite) => {
                self.leave_out(value, &invite);
                let is_of_today = half.is_some() || invite.issuer != Issuer::User;
                let owners_since = invite.owners_since.or(is_of_today.then_some(self.job.now));
                self.send(Invite { owners_since, ..invite }, place)
            }
            Err(reason) => self.skip(Kind::Invite, Some(token.hash()), reason, place),
        }
    }

    /// Sends the invites of which there is only the half: they make contacts alone.
    fn contacts(&mut self) -> anyhow::Result<()> {
        for (token_hash, Half { inviter, token_length, expires_at, place }) in std::mem::take(&mut self.halves) {
            let blank = self.blank(token_hash, token_length, InviteType::Contact, None, expires_at)?;
            self.send(Invite { inviter: Some(Arc::unwrap_or_clone(inviter)), issuer: Issuer::User, ..blank }, &place)?;
        }
        Ok(())
    }

    /// Counts the fields of an invite that are left out.
    fn leave_out(&mut self, value: &Value, invite: &Invite) {
        let left_out = |table: &Value, kept: &[&str], before: &str| {
            let names = table.entries().iter().filter_map(|(key, _)| key.text().filter(|key| !kept.contains(key)));
            // Names that modules give to fields. Anything else may be a token.
            let is_name = |name: &str| name.len() <= 40 && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
            let names = names.map(|name| if is_name(name) { format!("{before}{name}") } else { "other".to_owned() });
            names.collect::<Vec<_>>()
        };
        let more = value.get("additional_data");
        let imported = if invite.inviter.is_some() { MORE.as_slice() } else { MORE.split_at(1).1 };
        let names = [left_out(value, &KEPT, ""), left_out(more, imported, "additional_data.")].concat();
        for name in names {
            let is_one_more = self.left_out.len() >= MOST_LEFT_OUT && !self.left_out.contains_key(&name);
            let name = if is_one_more { "other".to_owned() } else { name };
            *self.left_out.entry(name).or_default() += 1;
        }
    }

    /// Ends the host. `is_whole`: all its invites could be read. A source that never had its
    /// invites says nothing about them.
    fn end(&mut self, is_whole: bool) -> anyhow::Result<()> {
        if !self.is_wanted() {
            return Ok(());
        }
        for (name, count) in std::mem::take(&mut self.left_out) {
            self.job.send(Item::LeftOut(name, count))?;
        }
        if is_whole && self.has_invites { self.job.send(Item::Whole(self.name.clone())) } else { Ok(()) }
    }

    /// Takes an account that joined, as mod_invites_tracking keeps it.
    fn joined(&self, account: Arc<BareJid>, value: &Value, place: &Place) -> anyhow::Result<()> {
        let inviter = value.get(TRACKED[1]).text().and_then(|source| self.inviter_in(source));
        let by = value.get(TRACKED[0]).text().and_then(Token::parse).map(|token| By::Token(token.hash()));
        match (inviter, by) {
            _ if !self.is_wanted() => self.skip(Kind::Account, None, Reason::OtherHost, place),
            (None, None) => self.skip(Kind::Account, None, Reason::Malformed, place),
            (inviter, by) => {
                let account = Arc::unwrap_or_clone(account);
                self.job.send(Item::Account(Joined { account, inviter, by, at: None, place: place.to_string() }))
            }
        }
    }

    fn send(&self, invite: Invite, place: &Place) -> anyhow::Result<()> {
        match self.is_wanted() {
            true => self.job.send(Item::Invite(Box::new(Imported { invite, uses: vec![], place: place.to_string() }))),
            false => self.skip(Kind::Invite, None, Reason::OtherHost, place),
        }
    }

    fn skip(&self, kind: Kind, token_hash: Option<TokenHash>, reason: Reason, place: &Place) -> anyhow::Result<()> {
        let host = Some(self.name.clone());
        self.job.send(Item::Skipped(Skipped { kind, host, token_hash, reason, place: place.to_string() }))
    }

    /// An invite as mod_invites keeps it for the host.
    fn invite_of(&self, token: TokenHash, length: Option<u32>, value: &Value) -> Result<Invite, Reason> {
        let jid = value.get("jid").text().ok_or(Reason::Malformed)?;
        let (name, host) = jid.rsplit_once('@').map_or((None, jid), |(name, host)| (Some(name), host));
        if !jids::domain(host).is_ok_and(|host| host == self.name) {
            return Err(Reason::Malformed);
        }
        let more = value.get("additional_data");
        let registers = value.get("allow_registration").is_true();
        let (invite_type, name) = match (value.get("type").text(), more.get("allow_reset")) {
            (Some("register"), Value::Nil) => (InviteType::Account, name),
            (Some("register"), account) => (InviteType::PasswordReset, Some(account.text().ok_or(Reason::Malformed)?)),
            (Some("roster"), Value::Nil) if registers => (InviteType::AccountAndContact, name),
            (Some("roster"), Value::Nil) => (InviteType::Contact, name),
            (Some("roster") | None, _) => return Err(Reason::Malformed),
            (Some(_), _) => return Err(Reason::Unsupported),
        };
        let name = name.map(|name| username(name).map_err(|_| Reason::Name)).transpose()?;
        if invite_type.connects() && name.is_none() {
            return Err(Reason::Malformed);
        }
        // An invite that makes no contact was made by an admin. The operator, who types at the
        // machine, and a program with a key are not named.
        let contact = name.as_ref().filter(|_| invite_type.connects()).map(|name| (self.jid(name), Issuer::User));
        let admin = || Some((self.inviter_in(more.get("source").text()?)?, Issuer::Admin));
        let (inviter, issuer) = contact.or_else(admin).unzip();
        let (roles, groups) = names(more.get("roles")).zip(names(more.get("groups"))).ok_or(Reason::Malformed)?;
        // Users cannot give roles.
        let issuer = issuer.map(|issuer| if roles.is_empty() { issuer } else { Issuer::Admin });
        let username = name.filter(|_| !invite_type.connects());
        let expires_at = instant(value.get("expires")).ok_or(Reason::Malformed)?;
        let created_at = instant(value.get("created_at")).flatten();
        Ok(Invite {
            inviter,
            issuer: issuer.unwrap_or(Issuer::Operator),
            roles,
            groups,
            note: more.get("note").text().map(|note| note.chars().take(LONGEST_NOTE).collect()),
            // A username can be registered once.
            max_uses: (username.is_some() || !value.get("reusable").is_true()).then_some(1),
            username,
            ..self.blank(token, length, invite_type, created_at, expires_at).map_err(|_| Reason::Malformed)?
        })
    }

    /// The account of this host in a `source`, such as `admin@example.org/phone` or
    /// `admin@example.org/admin_api`. A key has none: `api/token/ID`.
    fn inviter_in(&self, source: &str) -> Option<BareJid> {
        let jid = source.split('/').next().and_then(|bare| jids::account(bare).ok());
        jid.filter(|jid| jid.domain() == &*self.name)
    }

    fn blank(
        &self,
        token_hash: TokenHash,
        token_length: Option<u32>,
        invite_type: InviteType,
        created_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    ) -> Result<Invite, NoRandomness> {
        let now = self.job.now;
        let usual = || expires_at.and_then(|end| end.checked_sub(USUAL_LIFE).ok());
        let made = created_at.or_else(usual).map_or(now, |made| made.min(now));
        Ok(Invite {
            id: InviteId::generate()?,
            token_hash,
            invite_type,
            host: self.name.clone(),
            username: None,
            inviter: None,
            issuer: Issuer::Operator,
            roles: vec![],
            groups: vec![],
            note: None,
            max_uses: Some(1),
            uses: 0,
            created_at: made,
            expires_at: expires_at.map(|end| end.max(made)),
            revoked_at: None,
            // If it is not known when it was made, it belongs to the account that there is now.
            owners_since: created_at.is_none().then_some(now),
            links: 1,
            regenerated_at: None,
            language: None,
            inviter_name: None,
            imported_from: Some(Program::Prosody),
            token_length,
            replaced: false,
        })
    }
}

/// The instant so many seconds after 1970: `Some(None)` if it is too late for `jiff`, `None` if the
/// value is not a number. A time before 1970 becomes 1970.
fn instant(seconds: &Value) -> Option<Option<Timestamp>> {
    match seconds {
        #[expect(clippy::cast_possible_truncation, reason = "it stays within the bounds")]
        Value::Number(seconds) if !seconds.is_nan() => Some(Timestamp::from_second(seconds.max(0.0) as i64).ok()),
        _ => None,
    }
}

/// The names in a list, or the keys of a table whose values are true, as Prosody 0.12 keeps roles.
fn names(table: &Value) -> Option<Vec<String>> {
    let name = |(key, value): &(Value, Value)| match key {
        Value::Text(_) => value.is_true().then(|| key.text().map(str::to_owned)),
        _ => Some(value.text().map(str::to_owned)),
    };
    let names: Option<Vec<String>> = table.entries().iter().filter_map(name).collect();
    names.filter(|names| names.len() <= MOST_NAMES && names.iter().all(|name| is_name(name)))
}
