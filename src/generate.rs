//! The options of `easy-invite generate`, which the chat server's own command line takes too:
//! words become a wish.

use clap::Parser;
use jid::{BareJid, DomainPart, NodePart};

use crate::invite::{self, InviteType, Issuer};
use crate::jids;
use crate::lifetime::Lifetime;
use crate::policy::{self, Wish};

/// How often an invite can be used; `None`: without limit. An alias, since clap would take an
/// `Option` for an option that may be left out.
pub type MaxUses = Option<u32>;

/// The options of an invite.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Register only this username, which nobody else can register until the invite ends
    #[arg(long, value_name = "NAME")]
    username: Option<String>,

    /// Make this account and the new one contacts of each other
    #[arg(long, value_name = "JID", value_parser = jids::account)]
    contact: Option<BareJid>,

    /// With --contact: make a contact, and register nobody
    #[arg(long, requires = "contact", conflicts_with = "username")]
    contact_only: bool,

    /// Set a new password for this account, instead of registering one
    #[arg(long, value_name = "USERNAME", conflicts_with_all = ["username", "contact", "contact_only", "role", "group"])]
    reset: Option<String>,

    /// How long it can be used: 90s, 15m, 36h, 7d, 4w or never [default: as set for the host]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    expires: Option<Lifetime>,

    /// How often it can be used, or "unlimited"
    #[arg(long, value_name = "N", default_value = "1", value_parser = max_uses, allow_hyphen_values = true)]
    uses: MaxUses,

    /// A role of the new account, such as prosody:admin (repeatable; the first is the primary one)
    #[arg(long, value_name = "ROLE", value_parser = name)]
    role: Vec<String>,

    /// A group that the new account joins (repeatable)
    #[arg(long, value_name = "ID", value_parser = name)]
    group: Vec<String>,

    /// A remark, shown in lists
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,
}

/// The options on their own, behind a host that is known already.
#[derive(Debug, Parser)]
#[command(name = "generate HOST", no_binary_name = true)]
struct Words {
    #[command(flatten)]
    options: Options,
}

/// The wish in words as they were typed behind `generate HOST`.
///
/// # Errors
/// What is wrong with them, or how they are used, in words for the operator.
pub fn parse(words: Vec<String>, host: DomainPart) -> Result<Wish, String> {
    let Words { options } = Words::try_parse_from(words).map_err(|error| error.render().to_string())?;
    options.wish(host)
}

impl Options {
    /// Whether the invite is for one account alone.
    pub fn for_one_account(&self) -> bool {
        self.username.is_some() || self.reset.is_some()
    }

    /// The wish on a host.
    ///
    /// # Errors
    /// What is wrong with the username.
    pub fn wish(self, host: DomainPart) -> Result<Wish, String> {
        let invite_type = match (&self.reset, &self.contact, self.contact_only) {
            (Some(_), _, _) => InviteType::PasswordReset,
            (None, None, _) => InviteType::Account,
            (None, Some(_), true) => InviteType::Contact,
            (None, Some(_), false) => InviteType::AccountAndContact,
        };
        let name = self.reset.or(self.username).map(|name| username(&name, &host));
        Ok(Wish {
            username: name.transpose()?,
            inviter: self.contact,
            lifetime: self.expires,
            max_uses: self.uses,
            roles: self.role,
            groups: self.group,
            note: self.note,
            ..Wish::new(invite_type, host, Issuer::Operator)
        })
    }
}

/// The username in a text. Its own host may stand behind it.
fn username(text: &str, host: &DomainPart) -> Result<NodePart, String> {
    match jids::without_host(text, host) {
        name if name.contains(jids::AT) => Err(format!("expected a username on {host}, found {text:?}")),
        name => invite::username(name).map_err(|refusal| refusal.to_string()),
    }
}

/// The name of a role or a group.
fn name(text: &str) -> Result<String, &'static str> {
    if policy::is_name(text) { Ok(text.to_owned()) } else { Err("expected 1 to 64 bytes without spaces") }
}

/// A number of uses, as it is typed.
///
/// # Errors
/// If it cannot be one.
pub fn max_uses(text: &str) -> Result<MaxUses, String> {
    match text.parse() {
        Ok(uses @ 1..) => Ok(Some(uses)),
        _ if text == "unlimited" => Ok(None),
        _ => Err(format!("expected a number from 1 to {} or unlimited", u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Wish, String> {
        let host = DomainPart::new("example.org").unwrap().into_owned();
        parse(words.split_whitespace().map(str::to_owned).collect(), host)
    }

    #[test]
    fn words_become_a_wish() {
        let wish = parsed("--username carol@Example.org. --expires 4w --role a --role b --group=family").unwrap();
        assert_eq!((wish.invite_type, wish.username.unwrap().as_str()), (InviteType::Account, "carol"));
        assert_eq!(wish.lifetime, Some(Lifetime::Seconds(4 * 7 * 24 * 60 * 60)));
        assert_eq!((wish.roles.len(), wish.groups), (2, vec!["family".to_owned()]));
        let wish = parsed("--contact alice@example.org --contact-only --uses unlimited").unwrap();
        assert_eq!((wish.invite_type, wish.max_uses), (InviteType::Contact, None));
        assert_eq!(parsed("").unwrap().host.as_str(), "example.org");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, problem) in [
            ("--usename carol", "unexpected argument '--usename'"),
            ("carol", "unexpected argument 'carol'"),
            ("--username", "a value is required for '--username <NAME>'"),
            ("--reset bob --username carol", "cannot be used with"),
            ("--uses 0", "'--uses <N>': expected a number from 1 to"),
            ("--expires soon", "'--expires <DURATION>': "),
            ("--username bob@elsewhere.org", "expected a username on example.org"),
            ("--username a/b", "not a valid username"),
            ("--contact example.org", "'--contact <JID>': expected a bare JID"),
            ("--count 2", "unexpected argument '--count'"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(problem), "{words}: {error}");
        }
        assert!(parsed("--help").unwrap_err().contains("--contact-only"), "how it is used");
    }
}
