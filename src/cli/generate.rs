//! `easy-invite generate`: makes invites.

use std::cell::Cell;
use std::future::ready;
use std::io::{self, Write};

use anyhow::Context as _;
use futures::{StreamExt, stream};
use jid::{DomainPart, NodePart};
use jiff::Timestamp;

use super::context::{Context, served_host};
use super::input::wrong_usage;
use super::print::{self, complain};
use super::progress::Progress;
use crate::config;
use crate::invite::{self, InviteType, Issuer};
use crate::invite_json::InviteJson;
use crate::invites::{Invites, Issued};
use crate::policy::{self, Wish};
use crate::qr;

/// How many invites are in the making at a time: the store commits them in groups.
const AT_A_TIME: usize = 256;

/// Make an invite and print its link(s)
///
/// Prints the link for people, where the host has a landing page, then the xmpp: link for chat clients. They hold the
/// invite's secret and cannot be shown again. Without options, the invite registers one account.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  easy-invite generate example.org
  easy-invite generate example.org --username carol --expires 4w --qr
  easy-invite generate example.org --contact alice@example.org --uses 5
  easy-invite generate example.org --reset bob
  easy-invite generate example.org --count 30 --note \"workshop in May\" > links.txt")]
pub struct Arguments {
    /// The VirtualHost on which the invite is valid
    host: String,

    /// Registers only this username, which nobody else can register until the invite ends
    #[arg(long, value_name = "NAME")]
    username: Option<String>,

    /// This account and the new one become each other's contacts
    #[arg(long, value_name = "JID")]
    contact: Option<String>,

    /// With --contact: becomes a contact, and registers nobody
    #[arg(long, requires = "contact", conflicts_with = "username")]
    contact_only: bool,

    /// Sets a new password for this account, instead of registering one
    #[arg(long, value_name = "USERNAME", conflicts_with_all = ["username", "contact", "contact_only", "role", "group"])]
    reset: Option<String>,

    /// How long it can be used: 90s, 15m, 36h, 7d, 4w or never [default: as configured for the host]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    expires: Option<String>,

    /// How often it can be used, or "unlimited" [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    uses: Option<String>,

    /// A role of the new account, such as prosody:admin (repeatable; the first is the primary one)
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,

    /// A group that the new account joins (repeatable)
    #[arg(long, value_name = "ID")]
    group: Vec<String>,

    /// A remark, shown in lists
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    note: Option<String>,

    /// Makes so many invites, and prints one link a line: the landing page's, or else the xmpp: link
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// Also shows the link as a QR code
    #[arg(long)]
    qr: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let several = arguments.count > 1;
    if several && (arguments.username.is_some() || arguments.reset.is_some()) {
        return Err(wrong_usage("--count makes several invites, --username and --reset are for one alone"));
    }
    if arguments.qr && (several || context.json) {
        return Err(wrong_usage("--qr draws one invite for people, so it goes neither with --count nor --json"));
    }
    let (count, qr) = (arguments.count, arguments.qr);
    let invites = context.open_or_make().await?;
    let wish = arguments.wish(&invites)?;
    if several {
        return make_many(&invites, wish, count, context.json).await;
    }
    let issued = invites.create(wish).await?;
    print_one(&issued, invites.now(), qr, context.json)?;
    warn_unchecked(&issued);
    Ok(())
}

impl Arguments {
    /// The checked form of what was typed.
    fn wish(self, invites: &Invites) -> anyhow::Result<Wish> {
        let host = served_host(invites, &self.host)?;
        let invite_type = match (&self.reset, &self.contact, self.contact_only) {
            (Some(_), _, _) => InviteType::PasswordReset,
            (None, None, _) => InviteType::Account,
            (None, Some(_), true) => InviteType::Contact,
            (None, Some(_), false) => InviteType::AccountAndContact,
        };
        let inviter = self.contact.map(|jid| config::account(&jid).map_err(|problem| named("--contact", &problem)));
        let reset = self.reset.map(|name| username("--reset", &host, &name));
        let name = reset.or(self.username.map(|name| username("--username", &host, &name)));
        let lifetime = self.expires.map(|duration| duration.parse().context("--expires"));
        Ok(Wish {
            username: name.transpose()?,
            inviter: inviter.transpose()?,
            lifetime: lifetime.transpose()?,
            max_uses: self.uses.map_or(Ok(Some(1)), |uses| max_uses(&uses))?,
            roles: names("--role", self.role)?,
            groups: names("--group", self.group)?,
            note: self.note,
            ..Wish::new(invite_type, host, Issuer::Operator)
        })
    }
}

fn named(option: &str, problem: &str) -> anyhow::Error {
    anyhow::anyhow!("{option}: {problem}")
}

/// The username in an argument. Its own host may stand behind it.
fn username(option: &str, host: &DomainPart, text: &str) -> anyhow::Result<NodePart> {
    let (name, of_host) = text.rsplit_once('@').unwrap_or((text, host));
    if !DomainPart::new(of_host).is_ok_and(|of_host| *of_host == **host) {
        return Err(named(option, &format!("expected a username on {host}, found {text:?}")));
    }
    Ok(invite::username(name)?)
}

/// Roles or groups, of which only the option tells which they are.
fn names(option: &str, names: Vec<String>) -> anyhow::Result<Vec<String>> {
    match names.iter().find(|name| !policy::is_name(name)) {
        Some(bad) => {
            Err(named(option, &format!("expected 1 to 64 bytes without spaces, found {:?}", print::shortened(bad, 70))))
        }
        None => Ok(names),
    }
}

fn max_uses(text: &str) -> anyhow::Result<Option<u32>> {
    let number = |text: &str| text.parse().ok().filter(|uses| *uses > 0);
    match text {
        "unlimited" => Ok(None),
        _ => number(text).map(Some).ok_or_else(|| {
            named("--uses", &format!("expected a number from 1 to {} or unlimited, found {text:?}", u32::MAX))
        }),
    }
}

/// The link to hand out: the one for people, where there is one.
fn best_link(issued: &Issued) -> &str {
    issued.landing_url.as_deref().unwrap_or(&issued.uri)
}

fn print_one(issued: &Issued, now: Timestamp, qr: bool, json: bool) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string(&InviteJson::issued(issued, now))?)?;
        return Ok(());
    }
    if let Some(url) = &issued.landing_url {
        writeln!(stdout, "{url}")?;
    }
    writeln!(stdout, "{}", issued.uri)?;
    let invite = &issued.invite;
    let expires = match invite.expires_at {
        Some(instant) => format!("expires {instant}"),
        None => "never expires".to_owned(),
    };
    let uses = match invite.max_uses {
        Some(1) => "one use".to_owned(),
        Some(max) => format!("{max} uses"),
        None => "unlimited uses".to_owned(),
    };
    writeln!(stdout, "\n{}: {}", invite.id, print::invite_type(invite.invite_type))?;
    writeln!(stdout, "{uses}, {expires}")?;
    if qr {
        write!(stdout, "\n{}", qr::for_terminal(best_link(issued), &stdout)?)?;
    }
    Ok(())
}

/// Makes several invites at a time and prints each as soon as it is stored. The first failure stops it.
async fn make_many(invites: &Invites, wish: Wish, count: u32, json: bool) -> anyhow::Result<()> {
    let failure: Cell<Option<anyhow::Error>> = Cell::new(None);
    let failed = Cell::new(false);
    let fail = |error: anyhow::Error| {
        // What follows the first failure are mostly echoes of it.
        if !failed.replace(true) {
            failure.set(Some(error));
        }
    };
    let wanted = stream::iter(0..count).take_while(|_| ready(!failed.get()));
    let mut made = wanted.map(|_| invites.create(wish.clone())).buffer_unordered(AT_A_TIME);
    let mut progress = Progress::beside_output();
    let mut printed = 0;
    while let Some(result) = made.next().await {
        let shown = result.map_err(anyhow::Error::from).and_then(|issued| {
            print_line(&issued, invites.now(), json)?;
            if printed == 0 {
                warn_unchecked(&issued);
            }
            Ok(())
        });
        match shown {
            Ok(()) => printed += 1,
            Err(error) => fail(error),
        }
        progress.at(printed, count.into());
    }
    progress.end();
    match failure.take() {
        None => Ok(()),
        Some(error) if error.is::<io::Error>() => Err(error),
        Some(error) => Err(error.context(format!("{printed} of {count} invites were made"))),
    }
}

fn print_line(issued: &Issued, now: Timestamp, json: bool) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match json {
        true => writeln!(stdout, "{}", serde_json::to_string(&InviteJson::issued(issued, now))?)?,
        false => writeln!(stdout, "{}", best_link(issued))?,
    }
    Ok(())
}

fn warn_unchecked(issued: &Issued) {
    if let Some(reason) = &issued.unchecked {
        complain(format_args!("warning: whether the accounts exist could not be checked: {reason}"));
    }
}
