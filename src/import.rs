//! What other programs know of invites, as plain items. A source reads the data of one program and
//! sends what it finds, item by item, so that nothing holds all of it. It changes nothing there.
//!
//! A new source is a file in `src/import/` and a row of the table in `src/cli/import.rs`. Its
//! function is `async fn read(…, items: mpsc::Sender<Item>) -> anyhow::Result<()>`; one that blocks
//! does so in `spawn_blocking` and sends with `blocking_send`. A channel that is closed ends it at
//! once: whoever received has failed, and says why. A source that ends in an error has sent what it
//! had read until then. Its errors and places name a file and a line, and never the text found
//! there: that may be a token.

pub mod ejabberd;
pub mod lua_data;
pub mod own;
pub mod plan;
pub mod prosody;

use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use strum::AsRefStr;
use tokio::sync::mpsc;

use crate::invite::{Invite, InviteId, Purpose, TokenHash};

/// How many items wait in the channel at most.
const WAITING: usize = 500;

/// The channel from a source to whoever takes its items.
pub fn channel() -> (mpsc::Sender<Item>, mpsc::Receiver<Item>) {
    mpsc::channel(WAITING)
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
    /// What invites say in the source and has no place here: its name there, and of how many.
    LeftOut(String, u64),
    /// All invites that the source has of this host have been sent. So an invite of this host that
    /// was imported from there and was not sent has been used or revoked there. A source sends this
    /// only of a host whose invites it has really found and read to their end, though there may be
    /// none left.
    Whole(DomainPart),
}

/// An invite of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// As it is kept here: with a new id, the hash of its token, the token's length and the program
    /// that it comes from. How often it was used is counted from `uses`. `revoked_at` is set if it
    /// was revoked there, even by an end that lies before its beginning.
    pub invite: Invite,
    /// Its uses, as far as the source knows the accounts.
    pub uses: Vec<Used>,
    /// Where the source has it, for people: a file and a line, or a table and a row. No token.
    pub place: String,
}

/// A use of an invite of another program. It is over: nothing is reserved.
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
    /// If it registered the account: that joined by it, invited by the invite's inviter, and there
    /// is no [`Item::Account`] for it. Otherwise there is, unless the account is gone.
    pub joined: bool,
}

/// An account that joined by an invite, in another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The account.
    pub account: BareJid,
    /// Who invited it; `None`: an operator, or not known.
    pub inviter: Option<BareJid>,
    /// By which invite, if that is known. It need not be there any more.
    pub by: Option<By>,
    /// When, if that is known.
    pub at: Option<Timestamp>,
    /// Where the source has it, as of an invite.
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

/// Something that a source has, and that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What it is.
    pub kind: Kind,
    /// The host that it belongs to, if that is known.
    pub host: Option<DomainPart>,
    /// The token of an invite, if it could be read. Without it, nobody knows any more whether the
    /// source still has what was imported earlier, and nothing of its host is ended.
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

/// Why something is skipped: what follows "skipped: 3 " in a sentence. Scripts see its name.
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
    /// A name in it is none on any server.
    #[error("with a name that no account can have")]
    Name,
    /// It does something that no invite does here.
    #[error("of a kind that is not here")]
    Unsupported,
    /// Another one of its source has the same token.
    #[error("with a token that another one has")]
    SameToken,
    /// Another pending invite reserves the same username.
    #[error("with a username that another pending invite reserves")]
    Reserved,
}
