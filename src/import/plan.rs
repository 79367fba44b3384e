//! Decides what to do with items, given what the store has. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use jid::{BareJid, DomainPart};
use jiff::Timestamp;

use super::{By, Imported, Item, Joined, Reason, Used};
use crate::fields::is_not_xml;
use crate::invite::{Invite, InviteId, InviteType, Program, Purpose, State, TokenHash};
use crate::policy::LONGEST_NOTE;

/// What the store has that concerns some items.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Invites, by their tokens.
    pub invites: HashMap<TokenHash, There>,
    /// Tokens that are no longer valid, and the invites that had them.
    pub past: HashMap<TokenHash, InviteId>,
    /// The ids of invites.
    pub ids: HashSet<InviteId>,
    /// The accounts whose usernames pending invites reserve.
    pub reserved: HashSet<BareJid>,
    /// Accounts of which it is known how they joined.
    pub accounts: HashSet<BareJid>,
    /// Uses: the invite and the account.
    pub uses: HashSet<(InviteId, BareJid)>,
}

impl Known {
    /// Adds what the store has that concerns further items. What has been decided since stays. An
    /// id or a use belongs to one item, so those of earlier items are dropped.
    pub fn learn(&mut self, stored: Known) {
        for (token, there) in stored.invites {
            self.invites.entry(token).or_insert(there);
        }
        self.past.extend(stored.past);
        self.ids = stored.ids;
        self.reserved.extend(stored.reserved);
        self.accounts.extend(stored.accounts);
        self.uses = stored.uses;
    }
}

/// An invite that is in the store.
#[derive(Clone, Debug)]
pub struct There {
    /// Its id.
    pub id: InviteId,
    /// Its host.
    pub host: DomainPart,
    /// What it does.
    pub invite_type: InviteType,
    /// The program that it was imported from.
    pub imported_from: Option<Program>,
    /// Whether it can be used.
    pub pending: bool,
    /// How many uses are left; `None`: without limit.
    pub left: Option<u32>,
}

/// How many items of each kind there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// New invites that can be used.
    pub pending: u64,
    /// How many of these have a short token, which might be guessed.
    pub short_tokens: u64,
    /// New invites that have ended.
    pub ended: u64,
    /// Accounts of which the store did not know how they joined.
    pub accounts: u64,
    /// Invites and accounts that the store had, and of which nothing is new.
    pub already: u64,
    /// Invites that could be used here, and that have since been used up or revoked in the
    /// source.
    pub ended_since: u64,
    /// How many were skipped, and why.
    pub skipped: BTreeMap<Reason, u64>,
}

impl Figures {
    /// Adds the figures of further items.
    pub fn add(&mut self, other: &Figures) {
        self.pending += other.pending;
        self.short_tokens += other.short_tokens;
        self.ended += other.ended;
        self.accounts += other.accounts;
        self.already += other.already;
        self.ended_since += other.ended_since;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(*reason).or_default() += count;
        }
    }
}

/// What to write to the store, and the figures.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Invites to add.
    pub invites: Vec<(Invite, &'a [Used])>,
    /// Uses to add to invites that the store has.
    pub uses: Vec<(InviteId, Used)>,
    /// Accounts to add.
    pub accounts: Vec<(Joined, Option<InviteId>)>,
    /// Invites to revoke.
    pub revoked: Vec<InviteId>,
    /// Items that are skipped, by their place among the items.
    pub skipped: Vec<(usize, Reason)>,
    /// All of this in numbers.
    pub figures: Figures,
}

/// Decides what to do with items at an instant. What the store has stays as it is, except that an
/// invite ends when the program from which it was imported says so. Adds the items to `known`.
pub fn plan<'a>(items: &'a [Item], known: &mut Known, now: Timestamp) -> Plan<'a> {
    let mut plan = Plan::default();
    for (place, item) in items.iter().enumerate() {
        let taken = match item {
            Item::Invite(imported) => plan.take_invite(imported, known, now),
            Item::Account(joined) => {
                plan.take_account(joined, known);
                Ok(())
            }
            Item::Skipped(skipped) => Err(skipped.reason),
            Item::LeftOut(..) | Item::Whole(_) => Ok(()),
        };
        if let Err(reason) = taken {
            plan.skipped.push((place, reason));
            *plan.figures.skipped.entry(reason).or_default() += 1;
        }
    }
    plan
}

impl<'a> Plan<'a> {
    fn take_invite(&mut self, imported: &'a Imported, known: &mut Known, now: Timestamp) -> Result<(), Reason> {
        let Imported { invite, uses, .. } = imported;
        if let Some(there) = known.invites.get(&invite.token_hash) {
            let there = there.clone();
            return self.take_again(imported, &there, known);
        }
        if known.past.contains_key(&invite.token_hash) || known.ids.contains(&invite.id) {
            self.figures.already += 1;
            return Ok(());
        }
        let invite = admitted(imported)?;
        let pending = invite.state(now) == State::Pending;
        if let Some(account) = invite.reserves().filter(|_| pending)
            && !known.reserved.insert(account)
        {
            return Err(Reason::Reserved);
        }
        let left = invite.max_uses.map(|most| most - invite.uses);
        let Invite { id, host, invite_type, imported_from, .. } = invite.clone();
        known.ids.insert(id.clone());
        known.invites.insert(invite.token_hash, There { id, host, invite_type, imported_from, pending, left });
        for used in uses {
            self.take_user(used, &invite, invite.id.clone(), known);
        }
        self.figures.short_tokens += u64::from(pending && invite.has_short_token());
        *if pending { &mut self.figures.pending } else { &mut self.figures.ended } += 1;
        self.invites.push((invite, uses));
        Ok(())
    }

    /// An invite that the store has.
    fn take_again(&mut self, imported: &Imported, there: &There, known: &mut Known) -> Result<(), Reason> {
        let Imported { invite, uses, .. } = imported;
        if there.host != invite.host {
            return Err(Reason::SameToken);
        }
        let same_source = there.imported_from.is_some() && there.imported_from == invite.imported_from;
        let mut is_new = false;
        if same_source {
            for used in uses {
                is_new |= self.take_use(used, &invite.token_hash, known);
                self.take_user(used, invite, there.id.clone(), known);
            }
            // When Prosody revokes an invite of a user, the part that makes contacts stays.
            // ejabberd does not always tell whether an invite registers.
            let registers_no_more = there.imported_from == Some(Program::Prosody)
                && there.invite_type.registers()
                && !invite.invite_type.registers();
            if (invite.revoked_at.is_some() || registers_no_more)
                && let Some(there) = known.invites.get_mut(&invite.token_hash).filter(|there| there.pending)
            {
                there.pending = false;
                self.revoked.push(there.id.clone());
                self.figures.ended_since += 1;
                is_new = true;
            }
        }
        self.figures.already += u64::from(!is_new);
        Ok(())
    }

    /// A use of an invite that can be used here. Returns whether it is new.
    fn take_use(&mut self, used: &Used, token: &TokenHash, known: &mut Known) -> bool {
        let Some(there) = known.invites.get_mut(token).filter(|there| there.pending) else { return false };
        if there.imported_from.is_none() || !known.uses.insert((there.id.clone(), used.account.clone())) {
            return false;
        }
        there.left = there.left.map(|left| left.saturating_sub(1));
        if there.left == Some(0) {
            there.pending = false;
            self.figures.ended_since += 1;
        }
        self.uses.push((there.id.clone(), used.clone()));
        true
    }

    /// The account of a use that registered it.
    fn take_user(&mut self, used: &Used, invite: &Invite, id: InviteId, known: &mut Known) {
        if used.joined && used.purpose == Purpose::Register && known.accounts.insert(used.account.clone()) {
            let (account, inviter) = (used.account.clone(), invite.inviter.clone());
            let joined = Joined { account, inviter, by: None, at: used.at, place: String::new() };
            self.accounts.push((joined, Some(id)));
            self.figures.accounts += 1;
        }
    }

    fn take_account(&mut self, joined: &Joined, known: &mut Known) {
        if let Some(By::Token(token)) = &joined.by {
            let (account, at) = (joined.account.clone(), joined.at);
            let used = Used { purpose: Purpose::Register, account, at, failed: Vec::new(), joined: false };
            self.take_use(&used, token, known);
        }
        if !known.accounts.insert(joined.account.clone()) {
            self.figures.already += 1;
            return;
        }
        let by = match &joined.by {
            Some(By::Id(id)) => Some(id.clone()),
            Some(By::Token(token)) => {
                known.invites.get(token).map(|there| &there.id).or_else(|| known.past.get(token)).cloned()
            }
            None => None,
        };
        self.accounts.push((joined.clone(), by));
        self.figures.accounts += 1;
    }
}

/// The invite as it is stored, if it can be. A note that is too long is cut.
fn admitted(imported: &Imported) -> Result<Invite, Reason> {
    let Imported { invite, uses, .. } = imported;
    let uses = u32::try_from(uses.len()).map_err(|_| Reason::Malformed)?;
    // Every invite that is made here is like this: see `Wish::mistakes`.
    let sound = (invite.inviter.is_some() || !invite.invite_type.connects())
        && (invite.username.is_some() || invite.invite_type != InviteType::PasswordReset)
        && (invite.username.is_none() || invite.invite_type != InviteType::Contact && invite.max_uses == Some(1))
        && invite.max_uses.is_none_or(|most| most > 0 && most >= uses)
        && !invite.roles.iter().chain(&invite.groups).any(|name| name.contains(is_not_xml));
    if !sound {
        return Err(Reason::Malformed);
    }
    let note = invite.note.as_deref().unwrap_or_default();
    let note: String = note.chars().filter(|c| !is_not_xml(*c)).take(LONGEST_NOTE).collect();
    Ok(Invite { note: Some(note).filter(|note| !note.trim().is_empty()), uses, ..invite.clone() })
}
