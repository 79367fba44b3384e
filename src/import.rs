//! The invites of other programs. A source reads the data of one program and sends what it finds,
//! item by item, so that the whole is never in memory. It does not change the data.
//!
//! A new source is a file in `src/import/` and a row of the table in `src/cli/import.rs`. Its
//! function is `async fn read(…, items: mpsc::Sender<Item>) -> anyhow::Result<()>`. A function that
//! blocks does so in `spawn_blocking`. When the channel is closed, the source stops at once: the
//! receiver has failed, and reports why. A source that ends in an error has sent what it read
//! before. Its errors and places name a file and a line, and never the text that is there: it may
//! be a token.

pub mod ejabberd;
pub mod lua_data;
pub mod own;
pub mod plan;
pub mod prosody;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::anyhow;
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use strum::AsRefStr;
use tokio::sync::mpsc;

use crate::files::in_words;
use crate::invite::{Invite, InviteId, Purpose, Token, TokenHash};
use crate::texts::printable;

/// How many items wait in the channel at most.
const WAITING: usize = 500;

/// The channel from a source to the receiver of its items.
pub fn channel() -> (mpsc::Sender<Item>, mpsc::Receiver<Item>) {
    mpsc::channel(WAITING)
}

/// Sends an item, from a thread that may block.
fn send(items: &mpsc::Sender<Item>, item: Item) -> anyhow::Result<()> {
    items.blocking_send(item).map_err(|_| anyhow!("the import has stopped receiving"))
}

/// Opens a file, or stdin where the path is `-`. Returns its name for messages, too.
fn open(path: &Path) -> anyhow::Result<(String, Box<dyn BufRead>)> {
    if path.as_os_str() == "-" {
        return Ok(("stdin".to_owned(), Box::new(BufReader::new(io::stdin()))));
    }
    let name = printable(path.display());
    let file = File::open(path).map_err(|error| anyhow!("{name}: {}", in_words(&error)))?;
    Ok((name, Box::new(BufReader::new(file))))
}

/// How many characters a token has.
fn length(token: &Token) -> Option<u32> {
    u32::try_from(token.reveal().len()).ok()
}

/// Something that a source has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An invite.
    Invite(Box<Imported>),
    /// An account that joined by an invite. Sent after the invites of its host.
    Account(Joined),
    /// Something that cannot be imported.
    Skipped(Skipped),
    /// A field of invites that is not imported: its name in the source, and how many invites have
    /// it.
    LeftOut(String, u64),
    /// The source has sent all its invites of this host. An invite that was imported from it
    /// earlier and is not among them has been used or revoked there. A source sends this only for
    /// a host whose invites it has found and read to the end; there may be none left.
    Whole(DomainPart),
}

/// An invite of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The invite as it will be stored: with a new id, the hash and the length of its token, and
    /// the program that it comes from. Its number of uses is counted from `uses`. `revoked_at` is
    /// set if it was revoked there, even if by an end that is before its beginning.
    pub invite: Invite,
    /// Its uses, as far as the source knows the accounts.
    pub uses: Vec<Used>,
    /// Where the source has it, for people: a file and a line, or a table and a row. No token.
    pub place: String,
}

/// A finished use of an invite in another program. Reservations are not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// What it was for.
    pub purpose: Purpose,
    /// The account that used it.
    pub account: BareJid,
    /// When, if that is known.
    pub at: Option<Timestamp>,
    /// What could not be given to the account.
    pub failed: Vec<String>,
    /// For a use that registered the account: whether the use itself says how the account joined.
    /// If so, no [`Item::Account`] is sent for the account. If not, one is, unless the account is
    /// gone.
    pub joined: bool,
}

/// An account that joined by an invite, in another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The account.
    pub account: BareJid,
    /// Who invited it; `None`: an operator, or not known.
    pub inviter: Option<BareJid>,
    /// By which invite, if that is known. The invite may no longer exist.
    pub by: Option<By>,
    /// When, if that is known.
    pub at: Option<Timestamp>,
    /// Where the source has it, for people. No token.
    pub place: String,
}

/// Which invite a source means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The one with this id.
    Id(InviteId),
    /// The one with this token.
    Token(TokenHash),
}

/// Something in a source that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What it is.
    pub kind: Kind,
    /// The host that it belongs to, if that is known.
    pub host: Option<DomainPart>,
    /// The hash of the invite's token, if the token could be read. Without it, this could be any
    /// invite that was imported earlier, so no invite of its host is ended.
    pub token_hash: Option<TokenHash>,
    /// Why.
    pub reason: Reason,
    /// Where the source has it, for people: a file and a line, or a table and a row. No token.
    pub place: String,
}

/// What is skipped.
#[derive(AsRefStr, Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// An invite.
    Invite,
    /// An account that joined by one.
    Account,
}

/// Why something is skipped, as what follows "skipped: 3 ". Scripts get the name of the variant.
#[derive(AsRefStr, Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// Its host is not in the configuration, or was not asked for.
    #[error("of a host that is not imported")]
    OtherHost,
    /// It is not what its program writes.
    #[error("not as its program writes it")]
    Malformed,
    /// Its token has another length or other characters than can be in a link.
    #[error("with a token that no link here can have")]
    Token,
    /// A username in it is not valid on any server.
    #[error("with a name that no account can have")]
    Name,
    /// It does something that no invite of easy-invite does.
    #[error("of a kind that is not here")]
    Unsupported,
    /// Another one of its source has the same token.
    #[error("with a token that another one has")]
    SameToken,
    /// Another pending invite reserves the same username.
    #[error("with a username that another pending invite reserves")]
    Reserved,
}
