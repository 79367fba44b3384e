//! The rules: who may make which invite, and what a presented invite allows. Plain functions of
//! plain data.

mod change;

use std::collections::BTreeMap;

use jid::{BareJid, DomainPart, NodePart, NodeRef};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::chat_server::Account;
use crate::invite::{self, Invite, InviteId, InviteType, Issuer, Purpose, TokenHash, Use, judged_at};
use crate::last_seen::latest;
use crate::lifetime::Lifetime;
use crate::links::LandingPage;
use crate::names::{self, SYSTEM_NAMES};
use crate::refusal::{Mistake, Refusal};
pub use change::{Caps, Change, LONGEST_NOTE};
use change::{broken, mistakes_of_note};

/// How long after its reservation an account is made at the latest (docs/gate.md, `settle`).
const LONGEST_REGISTRATION: SignedDuration = SignedDuration::from_secs(60);

/// The longest name of a role or a group, in bytes.
const LONGEST_NAME: usize = 64;

/// What the operator allows on one VirtualHost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostPolicy {
    /// Whether nobody registers without a valid invite.
    pub registration_invite_only: bool,
    /// Whether users' invites may register accounts. Otherwise they only make contacts.
    pub allow_user_invites: bool,
    /// Whether users may make invites at all.
    pub allow_contact_invites: bool,
    /// Admins besides those of the chat server.
    pub admins: Vec<BareJid>,
    /// How long an invite is valid by default.
    pub expire_after: Lifetime,
    /// How long a password reset link is valid by default.
    pub reset_expire_after: Lifetime,
    /// Where the web link leads; `None`: invites have only their `xmpp:` link.
    pub landing_page: Option<LandingPage>,
    /// Whether the web link leads to our own pages, where people can register in a browser.
    pub registers_in_browser: bool,
    /// How many invites a user may make within 24 hours; `None`: any number.
    pub invites_per_day: Option<u32>,
    /// How many pending invites a user may have; `None`: any number.
    pub pending_invites: Option<u32>,
    /// Whether inviters are told when their invites are used.
    pub notify_inviter: bool,
    /// How old a user's account has to be before it may invite.
    pub inviter_age: SignedDuration,
    /// How often an invite of a user can be used at most; `None`: any number of times.
    pub max_uses: Option<u32>,
    /// How long an invite of a user is valid at most; `None`: no longer than by default.
    pub max_expires: Option<Lifetime>,
    /// Usernames that are registered only with an invite for that very name. So are names that look
    /// like them.
    pub reserved_usernames: Vec<NodePart>,
    /// What differs for users with a role, by its name.
    pub roles: BTreeMap<String, RolePolicy>,
}

/// What differs for users with a role. `None`: as for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RolePolicy {
    /// As in [`HostPolicy`].
    pub allow_user_invites: Option<bool>,
    /// As in [`HostPolicy`].
    pub allow_contact_invites: Option<bool>,
    /// As in [`HostPolicy`].
    pub max_uses: Option<Option<u32>>,
    /// As in [`HostPolicy`].
    pub max_expires: Option<Lifetime>,
}

impl Default for HostPolicy {
    fn default() -> Self {
        HostPolicy {
            registration_invite_only: true,
            allow_user_invites: true,
            allow_contact_invites: true,
            admins: Vec::new(),
            expire_after: Lifetime::Seconds(7 * 24 * 60 * 60),
            reset_expire_after: Lifetime::Seconds(24 * 60 * 60),
            landing_page: None,
            registers_in_browser: false,
            invites_per_day: Some(100),
            pending_invites: Some(500),
            notify_inviter: true,
            inviter_age: SignedDuration::ZERO,
            max_uses: Some(1),
            max_expires: None,
            reserved_usernames: SYSTEM_NAMES
                .split_whitespace()
                .filter_map(|name| invite::username(name).ok())
                .collect(),
            roles: BTreeMap::new(),
        }
    }
}

impl HostPolicy {
    /// Whether an account that gets these roles from its invite may invite others at once.
    pub fn lets_newcomers_invite(&self, roles: &[String]) -> bool {
        let newcomer = Account { roles: roles.to_vec(), ..Account::default() };
        self.inviter_age.is_zero() && self.new_invite(&newcomer).is_ok()
    }

    /// Checks that registration is open: that people may register without an invite.
    ///
    /// # Errors
    /// `InvitationOnly` if it is not.
    pub fn admit_uninvited(&self) -> Result<(), Refusal> {
        let refusal = Refusal::InvitationOnly { in_browser: self.registers_in_browser };
        if self.registration_invite_only { Err(refusal) } else { Ok(()) }
    }

    /// The type of invite that "New Invite" makes for this user. If several of the user's roles
    /// have a setting, the most generous one counts. No role allows what the chat server forbids.
    ///
    /// # Errors
    /// `NotAllowed` if the user may not invite.
    pub fn new_invite(&self, user: &Account) -> Result<InviteType, Refusal> {
        let of_roles = |says: fn(&RolePolicy) -> Option<bool>, of_host: bool| {
            let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
            roles.filter_map(says).max().unwrap_or(of_host)
        };
        let contacts = of_roles(|role| role.allow_contact_invites, self.allow_contact_invites);
        let accounts = of_roles(|role| role.allow_user_invites, self.allow_user_invites);
        match (contacts && user.may_invite_contacts, accounts && user.may_invite) {
            (false, _) => Err(Refusal::NotAllowed),
            (true, true) => Ok(InviteType::AccountAndContact),
            (true, false) => Ok(InviteType::Contact),
        }
    }

    /// How much this user may choose for an invite. If several of the user's roles have a setting,
    /// the most generous one counts. For admins, there are no caps: see [`Caps::NONE`].
    pub fn caps(&self, user: &Account) -> Caps {
        let roles = || user.roles.iter().filter_map(|role| self.roles.get(role));
        let max_uses = roles().filter_map(|role| role.max_uses).max_by_key(|most| most.unwrap_or(u32::MAX));
        let max_expires = roles().filter_map(|role| role.max_expires).max().or(self.max_expires);
        Caps { max_uses: max_uses.unwrap_or(self.max_uses), max_expires: max_expires.unwrap_or(self.expire_after) }
    }

    /// Checks whether this account may be made with this invite, or with none where registration is
    /// open. `admin`: whether the chat server's configuration calls the account an admin. Such a
    /// name, or one in `admins`, has rights that no user can give. So it needs an invite that the
    /// operator made for that very name. A name in `reserved_usernames` needs an invite for that
    /// very name, whoever made it.
    ///
    /// # Errors
    /// `UsernameReserved` or `SystemUsername`.
    pub fn admit_name(&self, account: &BareJid, admin: bool, invite: Option<&Invite>) -> Result<(), Refusal> {
        let for_this_name = invite.filter(|it| it.username.as_deref() == account.node());
        let operators = for_this_name.is_some_and(|it| it.issuer == Issuer::Operator);
        if (admin || self.admins.contains(account)) && !operators {
            return Err(Refusal::UsernameReserved);
        }
        match account.node().filter(|username| for_this_name.is_none() && self.is_reserved(username)) {
            Some(username) => Err(Refusal::SystemUsername(username.to_string())),
            None => Ok(()),
        }
    }

    /// Whether a username is in `reserved_usernames`, or looks like one of them.
    pub fn is_reserved(&self, username: &NodeRef) -> bool {
        self.reserved_usernames.iter().any(|reserved| names::look_alike(reserved.as_str(), username.as_str()))
    }

    /// Whether an account is an admin of the host. `known` is what the chat server knows of it.
    pub fn is_admin(&self, account: &BareJid, known: &Account) -> bool {
        known.admin || self.admins.contains(account)
    }

    /// Checks whether an account is old enough to invite. If its age is not known, or it was
    /// registered while a clock was far ahead, it is.
    ///
    /// # Errors
    /// `TooNew` if it is not.
    pub fn admit_inviter(&self, registered_at: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
        let registered_at = registered_at.filter(|at| *at <= latest(now)).unwrap_or(Timestamp::MIN);
        let again_at = registered_at.saturating_add(self.inviter_age).unwrap_or(Timestamp::MAX);
        if now < again_at { Err(Refusal::TooNew { again_at }) } else { Ok(()) }
    }
}

/// The invite that somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// What it is for.
    pub invite_type: InviteType,
    /// The VirtualHost.
    pub host: DomainPart,
    /// The only username that it registers or resets.
    pub username: Option<NodePart>,
    /// The user or admin who makes it. In the types with a contact: the contact.
    pub inviter: Option<BareJid>,
    /// With whose rights it is made.
    pub issuer: Issuer,
    /// How long it is valid; `None`: as the host's policy says.
    pub lifetime: Option<Lifetime>,
    /// How often it can be used; `None`: without limit.
    pub max_uses: Option<u32>,
    /// Roles of the new account, the primary one first.
    pub roles: Vec<String>,
    /// Groups of the new account.
    pub groups: Vec<String>,
    /// The inviter's note.
    pub note: Option<String>,
    /// The language of the user who makes it (BCP 47).
    pub language: Option<String>,
}

impl Wish {
    /// A wish for a single-use invite of this type, with everything else as by default.
    pub fn new(invite_type: InviteType, host: DomainPart, issuer: Issuer) -> Self {
        Wish {
            invite_type,
            host,
            username: None,
            inviter: None,
            issuer,
            lifetime: None,
            max_uses: Some(1),
            roles: Vec::new(),
            groups: Vec::new(),
            note: None,
            language: None,
        }
    }

    /// The parts of the wish that are impossible, or contradict each other.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let reset = self.invite_type == InviteType::PasswordReset;
        let grants = !self.roles.is_empty() || !self.groups.is_empty();
        let local_contact =
            self.inviter.as_ref().is_some_and(|jid| jid.node().is_some() && jid.domain() == &*self.host);
        let named = self.roles.iter().chain(&self.groups).all(|name| is_name(name));
        let rules = [
            (!reset || self.username.is_some(), Mistake::ResetWithoutUsername),
            (self.username.is_none() || self.invite_type != InviteType::Contact, Mistake::ContactWithUsername),
            (self.username.is_none() || self.max_uses == Some(1), Mistake::UsernameForMany),
            (!grants || self.invite_type.registers(), Mistake::GrantsWithoutAccount),
            (self.max_uses != Some(0), Mistake::NoUses),
            (!self.invite_type.connects() || local_contact, Mistake::ContactElsewhere(self.host.to_string())),
            (named, Mistake::BadName { most: LONGEST_NAME }),
        ];
        broken(rules).chain(mistakes_of_note(self.note.as_deref())).collect()
    }

    /// The invite that fulfils the wish.
    ///
    /// # Errors
    /// `Impossible` with the first of the [`mistakes`](Self::mistakes), if there is one;
    /// `InvalidUsername`.
    pub fn into_invite(
        self,
        policy: &HostPolicy,
        id: InviteId,
        token_hash: TokenHash,
        now: Timestamp,
    ) -> Result<Invite, Refusal> {
        if let Some(mistake) = self.mistakes().into_iter().next() {
            return Err(Refusal::Impossible(mistake));
        }
        if let Some(username) = self.username.as_ref().filter(|_| self.invite_type.registers()) {
            admit_new_username(username)?;
        }
        let reset = self.invite_type == InviteType::PasswordReset;
        let lifetime = self.lifetime.unwrap_or(if reset { policy.reset_expire_after } else { policy.expire_after });
        Ok(Invite {
            id,
            token_hash,
            invite_type: self.invite_type,
            host: self.host,
            username: self.username,
            inviter: self.inviter,
            issuer: self.issuer,
            roles: self.roles,
            groups: self.groups,
            note: self.note.filter(|note| !note.trim().is_empty()),
            max_uses: self.max_uses,
            uses: 0,
            created_at: now,
            expires_at: lifetime.end(now),
            revoked_at: None,
            owners_since: None,
            links: 1,
            regenerated_at: None,
            language: self.language,
            inviter_name: None,
            imported_from: None,
            token_length: None,
            replaced: false,
        })
    }
}

/// With whose rights an account acts on an invite. `known` is what the chat server knows of the
/// account.
///
/// # Errors
/// `Unknown` if it has no rights over the invite: to others, the invite does not exist. That
/// includes an account that has got the name of an earlier one, which made the invite.
pub fn rights_over(
    invite: &Invite,
    policy: &HostPolicy,
    account: &BareJid,
    known: &Account,
    now: Timestamp,
) -> Result<Issuer, Refusal> {
    let is_inviter = invite.issuer != Issuer::Operator
        && invite.inviter.as_ref() == Some(account)
        && admit_owner(invite, known, now).is_ok();
    match account.domain() == &*invite.host && policy.is_admin(account, known) {
        true => Ok(Issuer::Admin),
        false if is_inviter => Ok(Issuer::User),
        false => Err(Refusal::Unknown),
    }
}

/// Checks whether an account with these rights over an invite may change it or have a new link for
/// it: whether it could make such an invite now. `known` is what the chat server knows of the
/// account. An invite of the operator may promise more than an admin can give, so only the operator
/// changes it.
///
/// # Errors
/// `NotAllowed` if not.
pub fn admit_renewal(invite: &Invite, policy: &HostPolicy, rights: Issuer, known: &Account) -> Result<(), Refusal> {
    let of_user = || {
        let makes = policy.new_invite(known)?;
        let same = invite.issuer == Issuer::User && (makes == invite.invite_type || makes != InviteType::Contact);
        if same { Ok(()) } else { Err(Refusal::NotAllowed) }
    };
    match rights {
        Issuer::Operator => Ok(()),
        _ if known.disabled || (rights, invite.issuer) == (Issuer::Admin, Issuer::Operator) => Err(Refusal::NotAllowed),
        Issuer::Admin => Ok(()),
        Issuer::User => of_user(),
    }
}

/// Whether a role or a group can have this name.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

/// Checks whether a new account may have this username. The chat server may refuse more.
///
/// # Errors
/// `InvalidUsername` if it has characters that people cannot see.
pub fn admit_new_username(username: &NodePart) -> Result<(), Refusal> {
    if names::is_legible(username) { Ok(()) } else { Err(Refusal::InvalidUsername(username.to_string())) }
}

/// Checks whether this invite can be presented for a registration or a password reset (XEP-0445
/// §4).
///
/// # Errors
/// Why not. What decides, here and when the invite is used, is its type and not the form of its
/// link.
pub fn admit_presentation(invite: &Invite, now: Timestamp) -> Result<(), Refusal> {
    invite.usable(now)?;
    if invite.invite_type == InviteType::Contact { Err(Refusal::NotForRegistration) } else { Ok(()) }
}

/// The invite with the type and the rights that its inviter could give it now. The invites of an
/// admin who is no longer one count as a user's, and do only what a user's can do. If a user may
/// only make contact invites now, the user's invites make contacts and register nobody. An
/// operator's invite depends on nobody's rights.
///
/// # Errors
/// `InviterStopped` if it does nothing at present.
pub fn with_rights_of(invite: Invite, policy: &HostPolicy, inviter: &Account) -> Result<Invite, Refusal> {
    let admin = invite.inviter.as_ref().is_some_and(|jid| policy.is_admin(jid, inviter));
    let of_admin = invite.issuer == Issuer::Admin;
    if inviter.disabled || of_admin && !admin && !could_be_a_users(&invite, policy, inviter) {
        return Err(Refusal::InviterStopped);
    }
    if admin || invite.issuer == Issuer::Operator {
        return Ok(invite);
    }
    let may_make = policy.new_invite(inviter).map_err(|_| Refusal::InviterStopped)?;
    let invite_type = match may_make {
        // An invite that was not made to make a contact does not make one now.
        InviteType::Contact if !invite.invite_type.connects() => return Err(Refusal::InviterStopped),
        InviteType::Contact => may_make,
        _ => invite.invite_type,
    };
    Ok(Invite { issuer: Issuer::User, invite_type, ..invite })
}

/// The refusal of a purpose that the chat server of a host can never fulfil.
pub fn never(purpose: Purpose, host: &str) -> Refusal {
    match purpose {
        Purpose::Reset => Refusal::NoResetHere(host.to_string()),
        Purpose::Register | Purpose::Contact => Refusal::NoRegistrationHere(host.to_string()),
    }
}

/// Whether a user who may make every type of invite could have made this one.
fn could_be_a_users(invite: &Invite, policy: &HostPolicy, user: &Account) -> bool {
    let caps = policy.caps(user);
    invite.invite_type.connects()
        && caps.allow_uses(invite.max_uses)
        && caps.allow_end(invite.created_at, invite.expires_at)
        && invite.username.is_none()
        && invite.roles.is_empty()
        && invite.groups.is_empty()
        && policy.admit_inviter(user.created_at, invite.created_at).is_ok()
}

/// Checks whether the password of an account may be reset. `known` is what the chat server knows of
/// the account, and `asker` what it knows of the inviter; `None` stands for the operator.
///
/// # Errors
/// `AccountDisabled` if nobody can log in to the account, `AccountAbove` if it has higher rights
/// than the asker.
pub fn admit_reset(account: &BareJid, known: &Account, asker: Option<&Account>) -> Result<(), Refusal> {
    if known.disabled {
        return Err(Refusal::AccountDisabled(account.to_string()));
    }
    match asker.is_some_and(|asker| known.is_above(asker)) {
        true => Err(Refusal::AccountAbove(account.to_string())),
        false => Ok(()),
    }
}

/// Checks whether an invite belongs to an account, and not to an earlier one of the same name.
/// `account` is what the chat server knows of the account.
///
/// The account must not be younger than the one that was there when the invite was made. If the age
/// of that one was not known, it must not be younger than the invite. (It may be as old: both are
/// in whole seconds, and programs make both at once.) If it seems to be made in the future, a clock
/// was set back, and it passes. For an imported invite, only the age that the account's data has
/// counts: the hook had not seen the account when the invite was made.
///
/// # Errors
/// `Revoked` if the invite belonged to an earlier account.
pub fn admit_owner(invite: &Invite, account: &Account, now: Timestamp) -> Result<(), Refusal> {
    let since = if invite.imported_from.is_some() { account.created_at } else { account.since() };
    let Some(since) = since else { return Ok(()) };
    let same = match invite.owners_since {
        Some(known) => since <= known,
        None => since <= invite.created_at || since > now,
    };
    if same { Ok(()) } else { Err(Refusal::Revoked) }
}

/// Who is told of a use, if anybody: the inviter. For an operator's invite, that is the contact
/// whom it names, who has a new contact now. Nobody is told of a password reset, nor of what they
/// did themselves.
pub fn told_of<'a>(used: &Use, invite: &'a Invite) -> Option<&'a BareJid> {
    invite.inviter.as_ref().filter(|inviter| used.purpose != Purpose::Reset && **inviter != used.account)
}

/// Whether an account that appears now can no longer be the one of this open use: the registration
/// must have ended long ago. A password reset is not for one particular account of a name, so this
/// never holds for it.
pub fn may_be_replaced(used: &Use, now: Timestamp) -> bool {
    let latest = used.reserved_at.saturating_add(LONGEST_REGISTRATION).unwrap_or(Timestamp::MAX);
    used.purpose != Purpose::Reset && now > latest
}

/// If the account that has the name of an open use's account now was made too late to be that
/// account: the latest instant at which that account can have been deleted. `account` is what the
/// chat server knows of the present one. If it seems to be made in the future, a clock is wrong,
/// and nothing follows.
pub fn gone_at(used: &Use, account: &Account, now: Timestamp) -> Option<Timestamp> {
    let since = account.since().filter(|since| *since <= now && may_be_replaced(used, *since))?;
    // Invites that were made in the same second as the new account belong to the new account.
    since.checked_sub(SignedDuration::from_secs(1)).ok()
}

/// What an invite does at an instant for a person who opens its page.
///
/// # Errors
/// Why it does nothing.
pub fn purpose(invite: &Invite, now: Timestamp) -> Result<Purpose, Refusal> {
    invite.usable(now)?;
    Ok(invite.invite_type.purpose())
}

/// Checks whether a session that presented this invite may register or reset `username`.
///
/// `exists`: whether the chat server has an account of this name. `presented`: when the session
/// presented the token. Whether a use is left is decided by the store, in the step that takes it.
///
/// # Errors
/// Why not.
pub fn admit_registration(
    invite: &Invite,
    username: &NodePart,
    exists: bool,
    presented: Option<Timestamp>,
    now: Timestamp,
) -> Result<Purpose, Refusal> {
    admit_presentation(invite, judged_at(presented, now))?;
    let pinned_elsewhere = invite.username.as_ref().is_some_and(|pinned| pinned != username);
    match (invite.invite_type == InviteType::PasswordReset, pinned_elsewhere, exists) {
        (true, true, _) => Err(Refusal::WrongResetUsername),
        (true, false, false) => Err(Refusal::NoSuchAccount(username.to_string())),
        (true, false, true) => Ok(Purpose::Reset),
        (false, true, _) => Err(Refusal::WrongUsername),
        (false, false, true) => Err(Refusal::UsernameTaken),
        (false, false, false) => admit_new_username(username).map(|()| Purpose::Register),
    }
}

/// Checks whether `contact` may become a contact of `inviter` by this invite (XEP-0379).
///
/// # Errors
/// Why not.
pub fn admit_contact(invite: &Invite, inviter: &BareJid, contact: &BareJid) -> Result<(), Refusal> {
    // XEP-0379 §4.2: an invite for one account is for no other.
    let theirs = |name| *contact == BareJid::from_parts(Some(name), &invite.host);
    let for_contact = invite.username.as_deref().is_none_or(theirs) && contact != inviter && contact.node().is_some();
    if for_contact && invite.contact() == Some(inviter) { Ok(()) } else { Err(Refusal::Unknown) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::{at, invite};
    use crate::invite::{Program, State, Token};

    fn node(text: &str) -> NodePart {
        NodePart::new(text).unwrap().into_owned()
    }

    fn jid(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn wish(invite_type: InviteType) -> Wish {
        Wish::new(invite_type, DomainPart::new("example.org").unwrap().into_owned(), Issuer::Admin)
    }

    fn made(wish: Wish) -> Result<Invite, Refusal> {
        let hash = Token::generate().unwrap().hash();
        wish.into_invite(&HostPolicy::default(), InviteId::generate().unwrap(), hash, at(1000))
    }

    #[test]
    fn the_name_of_an_admin_takes_an_operators_invite_for_it() {
        let (boss, carol) = (jid("boss@example.org"), jid("carol@example.org"));
        let policy = HostPolicy { admins: vec![boss.clone()], ..HostPolicy::default() };
        for (account, admin, guarded) in
            [(&boss, false, true), (&boss, true, true), (&carol, true, true), (&carol, false, false)]
        {
            let refused = |guarded| if guarded { Err(Refusal::UsernameReserved) } else { Ok(()) };
            assert_eq!(policy.admit_name(account, admin, None), refused(guarded));
            for (issuer, username, may) in [
                (Issuer::Operator, account.node(), true),
                (Issuer::Operator, None, !guarded),
                (Issuer::Admin, account.node(), !guarded),
                (Issuer::User, None, !guarded),
            ] {
                let invite =
                    Invite { issuer, username: username.map(ToOwned::to_owned), ..invite(InviteType::Account) };
                let admitted = policy.admit_name(account, admin, Some(&invite));
                assert_eq!(admitted, refused(!may), "{account} {admin} {issuer}");
            }
        }
    }

    #[test]
    fn a_system_name_takes_an_invite_for_it() {
        let policy = HostPolicy::default();
        for name in [
            "admin",
            "ADMIN",
            "аdmin",
            "ａｄｍｉｎ",
            "adrnin",
            "_admin_",
            "no-reply",
            "mai1er_daemon",
            "rооt",
            "adm1n",
            "supp0rt",
        ] {
            let account = BareJid::from_parts(Some(&node(name)), &DomainPart::new("example.org").unwrap());
            let refused = Err(Refusal::SystemUsername(node(name).to_string()));
            assert_eq!(policy.admit_name(&account, false, None), refused, "{name}");
            for (issuer, username, admitted) in [
                (Issuer::Operator, Some(name), Ok(())),
                (Issuer::Admin, Some(name), Ok(())),
                (Issuer::Operator, None, refused.clone()),
                (Issuer::User, None, refused.clone()),
                (Issuer::Operator, Some("abuse"), refused.clone()),
            ] {
                let invite = Invite { issuer, username: username.map(node), ..invite(InviteType::Account) };
                assert_eq!(policy.admit_name(&account, false, Some(&invite)), admitted, "{name} {username:?}");
            }
            let free = HostPolicy { reserved_usernames: vec![node("boss")], ..HostPolicy::default() };
            assert_eq!(free.admit_name(&account, false, None), Ok(()), "{name}");
        }
        for name in ["adm", "admina", "rooty", "news-of-bob", "админ", "1nfo2"] {
            assert!(!policy.is_reserved(&node(name)), "{name}");
        }
        assert_eq!(policy.reserved_usernames.len(), SYSTEM_NAMES.split_whitespace().count());
    }

    #[test]
    fn new_invite_follows_the_hosts_policy_and_the_chat_server() {
        let policy = |allow_user_invites, allow_contact_invites| HostPolicy {
            allow_user_invites,
            allow_contact_invites,
            ..HostPolicy::default()
        };
        let user = |may_invite, may_invite_contacts| Account { may_invite, may_invite_contacts, ..Account::default() };
        for (policy, user, made) in [
            (policy(true, true), user(true, true), Ok(InviteType::AccountAndContact)),
            (policy(false, true), user(true, true), Ok(InviteType::Contact)),
            (policy(true, true), user(false, true), Ok(InviteType::Contact)),
            (policy(true, false), user(true, true), Err(Refusal::NotAllowed)),
            (policy(true, true), user(true, false), Err(Refusal::NotAllowed)),
        ] {
            assert_eq!(policy.new_invite(&user), made, "{policy:?} {user:?}");
        }
    }

    #[test]
    fn of_the_roles_that_say_something_the_most_generous_counts() {
        let role = |allow_user_invites, allow_contact_invites| RolePolicy {
            allow_user_invites,
            allow_contact_invites,
            ..RolePolicy::default()
        };
        let roles = [
            ("none", role(None, None)),
            ("less", role(Some(false), None)),
            ("least", role(Some(false), Some(false))),
            ("more", role(Some(true), None)),
        ];
        let roles = roles.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
        let mut policy = HostPolicy { roles, ..HostPolicy::default() };
        let made = |policy: &HostPolicy, roles: &[&str]| {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            policy.new_invite(&Account { roles, ..Account::default() })
        };
        for (roles, expected) in [
            (&["none", "another"][..], Ok(InviteType::AccountAndContact)),
            (&["none", "less"], Ok(InviteType::Contact)),
            (&["less", "least"], Err(Refusal::NotAllowed)),
            (&["less", "more", "none"], Ok(InviteType::AccountAndContact)),
            (&["more", "least"], Err(Refusal::NotAllowed)),
        ] {
            assert_eq!(made(&policy, roles), expected, "{roles:?}");
        }
        policy.allow_user_invites = false;
        assert_eq!(made(&policy, &["none"]), Ok(InviteType::Contact));
        assert_eq!(made(&policy, &["more"]), Ok(InviteType::AccountAndContact));
        let denied = Account { roles: vec!["more".to_owned()], may_invite: false, ..Account::default() };
        assert_eq!(policy.new_invite(&denied), Ok(InviteType::Contact), "what the chat server forbids");
    }

    #[test]
    fn users_choose_within_their_caps_and_those_of_their_most_generous_role() {
        let days = |count: i64| Lifetime::Seconds(count * 24 * 60 * 60);
        let role = |max_uses, max_expires| RolePolicy { max_uses, max_expires, ..RolePolicy::default() };
        let roles = [
            ("none", role(None, None)),
            ("few", role(Some(Some(2)), Some(days(1)))),
            ("some", role(Some(Some(5)), None)),
            ("any", role(Some(None), Some(Lifetime::Never))),
        ];
        let roles = roles.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
        let policy = HostPolicy { max_uses: Some(3), max_expires: Some(days(30)), roles, ..HostPolicy::default() };
        let caps = |policy: &HostPolicy, roles: &[&str]| {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            let caps = policy.caps(&Account { roles, ..Account::default() });
            (caps.max_uses, caps.max_expires)
        };
        assert_eq!(caps(&HostPolicy::default(), &["few"]), (Some(1), days(7)), "as long as by default");
        assert_eq!(caps(&policy, &["none", "another"]), (Some(3), days(30)));
        assert_eq!(caps(&policy, &["few", "none"]), (Some(2), days(1)));
        assert_eq!(caps(&policy, &["few", "some"]), (Some(5), days(1)));
        assert_eq!(caps(&policy, &["few", "any"]), (None, Lifetime::Never));
        let caps = Caps { max_uses: Some(2), max_expires: days(1) };
        assert_eq!([Some(1), Some(2), Some(3), None].map(|uses| caps.allow_uses(uses)), [true, true, false, false]);
        assert!(Caps { max_uses: None, ..caps }.allow_uses(None));
        assert!(caps.allow_lifetime(days(1)) && !caps.allow_lifetime(days(2)) && !caps.allow_lifetime(Lifetime::Never));
    }

    #[test]
    fn a_users_invite_does_what_the_user_may_still_make() {
        let invite = of_alice(Issuer::User, |_| ());
        let judged = |user: &Account| with_rights_of(invite.clone(), &HostPolicy::default(), user);
        assert_eq!(judged(&ranked(25)), Ok(invite.clone()));
        let no_new_users = Account { may_invite: false, ..ranked(25) };
        assert_eq!(judged(&no_new_users), Ok(Invite { invite_type: InviteType::Contact, ..invite.clone() }));
        assert_eq!(judged(&Account { admin: true, ..no_new_users.clone() }), Ok(invite.clone()));
        let nobody = Account { may_invite_contacts: false, ..ranked(25) };
        assert_eq!(judged(&nobody), Err(Refusal::InviterStopped));
        assert_eq!(judged(&Account { admin: true, ..nobody.clone() }), Ok(invite.clone()));
        // As ejabberd's users may make them: an account, and no contact.
        let account = Invite { invite_type: InviteType::Account, ..invite.clone() };
        let of_account = |user| with_rights_of(account.clone(), &HostPolicy::default(), user);
        assert_eq!(of_account(&no_new_users), Err(Refusal::InviterStopped));
        let demoted = with_rights_of(of_alice(Issuer::Admin, |_| ()), &HostPolicy::default(), &no_new_users);
        assert_eq!(demoted.map(|invite| invite.invite_type), Ok(InviteType::Contact));
        let operators = of_alice(Issuer::Operator, |_| ());
        assert_eq!(with_rights_of(operators.clone(), &HostPolicy::default(), &nobody), Ok(operators));
    }

    /// An account that is there, of this rank.
    fn ranked(rank: i64) -> Account {
        Account { exists: true, rank: Some(rank), ..Account::default() }
    }

    fn of_alice(issuer: Issuer, change: impl FnOnce(&mut Invite)) -> Invite {
        let end = HostPolicy::default().expire_after.end(at(1000));
        let inviter = Some(jid("alice@example.org"));
        let mut invite = Invite { issuer, inviter, expires_at: end, ..invite(InviteType::AccountAndContact) };
        change(&mut invite);
        invite
    }

    #[test]
    fn an_invite_waits_while_its_inviter_is_disabled() {
        let disabled = Account { disabled: true, admin: true, ..ranked(50) };
        for issuer in [Issuer::User, Issuer::Admin, Issuer::Operator] {
            let invite = of_alice(issuer, |_| ());
            let judged = |inviter| with_rights_of(invite.clone(), &HostPolicy::default(), inviter);
            assert_eq!(judged(&disabled), Err(Refusal::InviterStopped), "{issuer}");
            assert_eq!(judged(&Account { disabled: false, ..disabled.clone() }), Ok(invite.clone()), "{issuer}");
        }
    }

    #[test]
    fn an_admins_invite_is_a_users_once_its_inviter_is_no_admin_any_more() {
        let (policy, user) = (HostPolicy::default(), ranked(25));
        let ordinary = of_alice(Issuer::Admin, |_| ());
        let as_a_users = Ok(Invite { issuer: Issuer::User, ..ordinary.clone() });
        assert_eq!(with_rights_of(ordinary.clone(), &policy, &user), as_a_users);
        let closed = HostPolicy { allow_contact_invites: false, ..HostPolicy::default() };
        assert_eq!(with_rights_of(ordinary, &closed, &user), Err(Refusal::InviterStopped));
        let still_admin = HostPolicy { admins: vec![jid("alice@example.org")], ..HostPolicy::default() };
        let admin = Account { admin: true, ..ranked(50) };
        let second = SignedDuration::from_secs(1);
        let what_users_lack: [fn(&mut Invite, SignedDuration); 9] = [
            |it, _| it.roles = vec!["prosody:admin".to_owned()],
            |it, _| it.groups = vec!["family".to_owned()],
            |it, _| it.username = Some(node("carol")),
            |it, _| it.max_uses = Some(2),
            |it, _| it.max_uses = None,
            |it, _| it.expires_at = None,
            |it, second| it.expires_at = it.expires_at.map(|end| end + second),
            |it, _| it.invite_type = InviteType::Account,
            |it, _| it.invite_type = InviteType::PasswordReset,
        ];
        for (number, change) in what_users_lack.into_iter().enumerate() {
            let invite = of_alice(Issuer::Admin, |it| change(it, second));
            let judged = |policy, inviter| with_rights_of(invite.clone(), policy, inviter);
            assert_eq!(judged(&policy, &user), Err(Refusal::InviterStopped), "{number}");
            assert_eq!(judged(&still_admin, &user), Ok(invite.clone()), "{number}");
            assert_eq!(judged(&policy, &admin), Ok(invite.clone()), "{number}");
            let of_operator = Invite { issuer: Issuer::Operator, ..invite.clone() };
            assert_eq!(with_rights_of(of_operator.clone(), &policy, &user), Ok(of_operator), "{number}");
        }
    }

    #[test]
    fn a_password_reset_is_for_nobody_above_and_nobody_disabled() {
        let bob = jid("bob@example.org");
        let (admin, plain) = (Account { admin: true, ..Account::default() }, Account::default());
        let ranked_admin = |rank| Account { admin: true, ..ranked(rank) };
        let elsewhere = |rank| Account { privileged: true, ..ranked(rank) };
        for (known, asker, above) in [
            (ranked_admin(50), Some(ranked(25)), true),
            (ranked_admin(10), Some(ranked(25)), true), // a custom role with a low priority
            (ranked_admin(50), Some(ranked_admin(50)), false),
            (ranked_admin(75), Some(ranked_admin(50)), true),
            (ranked_admin(10), Some(ranked_admin(50)), false),
            (elsewhere(51), Some(ranked_admin(50)), true),
            (elsewhere(51), Some(ranked_admin(75)), false),
            (elsewhere(51), Some(elsewhere(51)), false),
            (elsewhere(10), Some(ranked(25)), true),
            (ranked(25), Some(ranked(25)), false),
            (ranked(35), Some(ranked(25)), false), // an ordinary account, though of a higher priority
            (ranked(99), Some(ranked_admin(50)), false),
            (ranked_admin(75), None, false),
            (admin.clone(), Some(plain.clone()), true),
            (admin.clone(), Some(admin.clone()), false),
            (plain.clone(), Some(admin.clone()), false),
            (ranked_admin(50), Some(plain), true),
            (ranked_admin(50), Some(admin), false), // of different servers
        ] {
            let expected = if above { Err(Refusal::AccountAbove(bob.to_string())) } else { Ok(()) };
            assert_eq!(admit_reset(&bob, &known, asker.as_ref()), expected, "{known:?} {asker:?}");
            let disabled = Account { disabled: true, ..known };
            assert_eq!(
                admit_reset(&bob, &disabled, asker.as_ref()),
                Err(Refusal::AccountDisabled(bob.to_string())),
                "{asker:?}"
            );
        }
    }

    #[test]
    fn an_invite_of_an_earlier_account_of_the_name_is_refused() {
        for (owners_since, created_at, known_since, now, admitted) in [
            (Some(900), None, None, 2000, true),
            (Some(900), Some(900), None, 2000, true),
            (Some(900), None, Some(900), 2000, true),
            (Some(900), Some(1000), None, 2000, false), // in the second in which the invite was made
            (Some(900), None, Some(901), 2000, false),
            (Some(1100), Some(1100), None, 2000, true), // the clock was set back before it was made
            (Some(1100), Some(1000), Some(1200), 2000, true), // the first is certain
            // Nobody could tell then.
            (None, None, None, 2000, true),
            (None, Some(1000), None, 2000, true),
            (None, Some(1001), None, 2000, false),
            (None, None, Some(1001), 1001, false),
            (None, None, Some(1001), 1000, true), // the clock was set back
        ] {
            let [owners_since, created_at, known_since] = [owners_since, created_at, known_since].map(|it| it.map(at));
            let invite = Invite { created_at: at(1000), owners_since, ..invite(InviteType::AccountAndContact) };
            let account = Account { exists: true, created_at, known_since, ..Account::default() };
            let expected = if admitted { Ok(()) } else { Err(Refusal::Revoked) };
            assert_eq!(admit_owner(&invite, &account, at(now)), expected, "{invite:?} {account:?} {now}");

            let imported = Invite { imported_from: Some(Program::Prosody), ..invite };
            let expected = if created_at.is_none() { Ok(()) } else { expected };
            assert_eq!(admit_owner(&imported, &account, at(now)), expected, "{imported:?} {account:?} {now}");
        }
    }

    #[test]
    fn an_account_that_was_made_later_than_a_registration_takes_is_anothers() {
        let used = |purpose| Use {
            id: "r1".to_owned(),
            invite: InviteId::generate().unwrap(),
            purpose,
            account: jid("carol@example.org"),
            server: "s1".to_owned(),
            reserved_at: at(1000),
        };
        for (purpose, since, now, gone_at) in [
            (Purpose::Register, None, 2000, None),
            (Purpose::Register, Some(900), 2000, None),
            (Purpose::Register, Some(1060), 2000, None),
            (Purpose::Register, Some(1061), 2000, Some(1060)),
            (Purpose::Contact, Some(1061), 1061, Some(1060)),
            (Purpose::Reset, Some(1061), 2000, None),
            (Purpose::Register, Some(1061), 1060, None), // the clock was set back
        ] {
            let account = Account { exists: true, created_at: since.map(at), ..Account::default() };
            assert_eq!(super::gone_at(&used(purpose), &account, at(now)), gone_at.map(at), "{purpose} {since:?} {now}");
        }
    }

    #[test]
    fn an_invites_page_is_about_what_the_invite_may_do() {
        for (invite_type, purpose) in [
            (InviteType::Account, Purpose::Register),
            (InviteType::AccountAndContact, Purpose::Register),
            (InviteType::Contact, Purpose::Contact),
            (InviteType::PasswordReset, Purpose::Reset),
        ] {
            let invite = invite(invite_type);
            assert_eq!(super::purpose(&invite, at(1000)), Ok(purpose));
            assert_eq!(super::purpose(&invite, at(2000)), Err(Refusal::Expired));
        }
    }

    #[test]
    fn wishes_that_contradict_themselves_are_refused() {
        let with = |change: fn(&mut Wish), invite_type| {
            let mut wish = wish(invite_type);
            change(&mut wish);
            made(wish)
        };
        assert!(with(|_| (), InviteType::Account).is_ok());
        assert!(with(|_| (), InviteType::PasswordReset).is_err(), "whose password?");
        assert!(with(|_| (), InviteType::Contact).is_err(), "whose contact?");
        assert!(with(|w| w.inviter = Some(jid("a@elsewhere.org")), InviteType::Contact).is_err());
        assert!(with(|w| w.inviter = Some(jid("example.org")), InviteType::Contact).is_err());
        assert!(with(|w| w.inviter = Some(jid("a@example.org")), InviteType::Contact).is_ok());
        assert!(with(|w| (w.username, w.max_uses) = (Some(node("a")), Some(2)), InviteType::Account).is_err());
        assert!(with(|w| (w.username, w.max_uses) = (Some(node("a")), None), InviteType::Account).is_err());
        assert!(with(|w| w.max_uses = Some(0), InviteType::Account).is_err());
        assert!(with(|w| w.note = Some("x\u{0}".into()), InviteType::Account).is_err());
        assert!(with(|w| w.note = Some("x".repeat(501)), InviteType::Account).is_err());
        assert!(with(|w| w.roles = vec!["a b".into()], InviteType::Account).is_err());
        assert!(
            with(|w| (w.username, w.roles) = (Some(node("a")), vec!["x".into()]), InviteType::PasswordReset).is_err()
        );
    }

    #[test]
    fn a_reset_lives_as_long_as_resets_do() {
        let mut wish = wish(InviteType::PasswordReset);
        wish.username = Some(node("alice"));
        let invite = made(wish).unwrap();
        assert_eq!(invite.expires_at, Some(at(1000 + 86_400)));
        assert_eq!(invite.state(at(1001)), State::Pending);
    }

    #[test]
    fn a_contact_invite_registers_nobody() {
        let invite = invite(InviteType::Contact);
        assert_eq!(admit_presentation(&invite, at(1500)), Err(Refusal::NotForRegistration));
        let answer = admit_registration(&invite, &node("carol"), false, Some(at(1500)), at(1500));
        assert_eq!(answer, Err(Refusal::NotForRegistration));
    }

    #[test]
    fn users_invites_stop_registering_when_the_policy_changes() {
        let judged = |issuer, policy: &HostPolicy| {
            let invite = with_rights_of(of_alice(issuer, |_| ()), policy, &ranked(25)).unwrap();
            admit_presentation(&invite, at(1500))
        };
        let closed = HostPolicy { allow_user_invites: false, ..HostPolicy::default() };
        for (issuer, then) in [
            (Issuer::User, Err(Refusal::NotForRegistration)),
            (Issuer::Admin, Err(Refusal::NotForRegistration)), // one who is no admin any more
            (Issuer::Operator, Ok(())),
        ] {
            assert_eq!(judged(issuer, &HostPolicy::default()), Ok(()));
            assert_eq!(judged(issuer, &closed), then, "{issuer}");
        }
    }

    #[test]
    fn an_invite_for_one_name_registers_that_name_in_any_case() {
        let mut invite = invite(InviteType::Account);
        invite.username = Some(node("alice"));
        let ask = |name: &str, exists| admit_registration(&invite, &node(name), exists, None, at(1500));
        assert_eq!(ask("Alice", false), Ok(Purpose::Register));
        assert_eq!(ask("bob", false), Err(Refusal::WrongUsername));
        assert_eq!(ask("alice", true), Err(Refusal::UsernameTaken));
    }

    #[test]
    fn a_new_account_waits_before_it_invites() {
        let mut policy = HostPolicy::default();
        assert_eq!(policy.admit_inviter(Some(at(1000)), at(1000)), Ok(()));
        policy.inviter_age = SignedDuration::from_secs(60);
        assert_eq!(policy.admit_inviter(Some(at(1000)), at(1059)), Err(Refusal::TooNew { again_at: at(1060) }));
        assert_eq!(policy.admit_inviter(Some(at(1000)), at(1060)), Ok(()));
        assert_eq!(policy.admit_inviter(None, at(1000)), Ok(()), "its age is not known");
        let ahead = |seconds: i64| policy.admit_inviter(Some(at(1000 + seconds)), at(1000));
        assert_eq!(ahead(86_400), Err(Refusal::TooNew { again_at: at(1000 + 86_460) }), "clocks differ");
        assert_eq!(ahead(400 * 86_400), Ok(()), "a clock was wrong");
    }

    #[test]
    fn a_reset_is_for_its_existing_account_alone() {
        let mut invite = invite(InviteType::PasswordReset);
        invite.username = Some(node("alice"));
        let ask = |name: &str, exists| admit_registration(&invite, &node(name), exists, None, at(1500));
        assert_eq!(ask("alice", true), Ok(Purpose::Reset));
        assert_eq!(ask("alice", false), Err(Refusal::NoSuchAccount("alice".into())));
        assert_eq!(ask("mallory", true), Err(Refusal::WrongResetUsername));
        assert_eq!(ask("mallory", false), Err(Refusal::WrongResetUsername));
    }

    #[test]
    fn what_was_valid_when_presented_may_register_after_its_expiry_but_not_after_its_revocation() {
        let mut invite = invite(InviteType::Account);
        let carol = node("carol");
        let late = |invite: &Invite| admit_registration(invite, &carol, false, Some(at(1999)), at(2100));
        assert_eq!(late(&invite), Ok(Purpose::Register));
        assert_eq!(admit_registration(&invite, &carol, false, None, at(2100)), Err(Refusal::Expired));
        invite.revoked_at = Some(at(2050));
        assert_eq!(late(&invite), Err(Refusal::Revoked));
    }

    #[test]
    fn contacts_are_made_with_the_inviter_alone() {
        let mut invite = invite(InviteType::AccountAndContact);
        invite.inviter = Some(jid("alice@example.org"));
        let ask = |inviter, contact| admit_contact(&invite, &jid(inviter), &jid(contact));
        assert_eq!(ask("alice@example.org", "carol@remote.example"), Ok(()));
        assert_eq!(ask("bob@example.org", "carol@remote.example"), Err(Refusal::Unknown));
        assert_eq!(ask("alice@example.org", "alice@example.org"), Err(Refusal::Unknown));
        invite.username = Some(node("carol"));
        let ask = |contact| admit_contact(&invite, &jid("alice@example.org"), &jid(contact));
        assert_eq!(ask("dave@example.org"), Err(Refusal::Unknown), "it is carol's");
        assert_eq!(ask("carol@elsewhere.example"), Err(Refusal::Unknown));
        assert_eq!(ask("carol@example.org"), Ok(()));
        invite.invite_type = InviteType::Account;
        assert_eq!(admit_contact(&invite, &jid("alice@example.org"), &jid("c@x.example")), Err(Refusal::Unknown));
    }
}
