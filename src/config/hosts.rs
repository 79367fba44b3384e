//! The tables of the served VirtualHosts, checked.

use std::collections::BTreeMap;

use jid::DomainPart;

use super::raw::{ConfigError, RawHost, RawRole, Source, Table};
use crate::jids;
use crate::policy::{HostPolicy, RolePolicy, is_name};

/// The VirtualHosts that are served, each with what it allows.
///
/// # Errors
/// If there is none, or the table of one cannot be used.
pub fn check_hosts(
    source: &Source<'_>,
    component: &DomainPart,
    raw: BTreeMap<String, Table<RawHost>>,
) -> Result<BTreeMap<DomainPart, HostPolicy>, ConfigError> {
    let (mut hosts, mut spellings) = (BTreeMap::new(), BTreeMap::new());
    for (name, Table(raw)) in raw {
        let problem = |problem: &str| source.problem(&["hosts", &name], problem);
        let host = jids::domain(&name).map_err(|expected| problem(&expected))?;
        if host == *component {
            return Err(problem("the component's own JID: expected a VirtualHost of the chat server"));
        }
        for (number, admin) in raw.admins.iter().enumerate() {
            // Only users of the host can run its commands.
            if admin.0.domain().as_str() != host.as_str() {
                let problem = format!("expected a user of {host}, found \"{}\"", admin.0);
                return Err(source.problem_of_element(&["hosts", &name, "admins"], number, problem));
            }
        }
        if let Some(role) = raw.roles.keys().find(|role| !is_name(role)) {
            let problem = format!("expected the name of a role, such as \"prosody:member\", found {role:?}");
            return Err(source.problem(&["hosts", &name, "roles", role], problem));
        }
        if let Some(other) = spellings.insert(host.clone(), name.clone()) {
            return Err(problem(&format!(
                "the same host as {other:?}, which has a table too: make one table of the two"
            )));
        }
        hosts.insert(host, policy(raw));
    }
    if hosts.is_empty() {
        let expected = match source.file {
            Some(_) => "expected a table for each VirtualHost served, for example [hosts.\"example.org\"]",
            None => "missing: expected the VirtualHosts served, for example example.org",
        };
        return Err(source.problem(&["hosts"], expected));
    }
    Ok(hosts)
}

fn policy(raw: RawHost) -> HostPolicy {
    let default = HostPolicy::default();
    HostPolicy {
        registration_invite_only: raw.registration_invite_only.unwrap_or(default.registration_invite_only),
        allow_user_invites: raw.allow_user_invites.unwrap_or(default.allow_user_invites),
        allow_contact_invites: raw.allow_contact_invites.unwrap_or(default.allow_contact_invites),
        admins: raw.admins.into_iter().map(|admin| admin.0).collect(),
        expire_after: raw.expire_after.map_or(default.expire_after, |lifetime| lifetime.0),
        reset_expire_after: raw.reset_expire_after.map_or(default.reset_expire_after, |lifetime| lifetime.0),
        landing_page: raw.landing_page.map(|page| page.0),
        registers_in_browser: default.registers_in_browser,
        invites_per_day: raw.invites_per_day.map_or(default.invites_per_day, |most| most.0),
        pending_invites: raw.pending_invites.map_or(default.pending_invites, |most| most.0),
        notify_inviter: raw.notify_inviter.unwrap_or(default.notify_inviter),
        inviter_age: raw.inviter_age.map_or(default.inviter_age, |age| age.0.0),
        max_uses: raw.max_uses.map_or(default.max_uses, |most| most.0),
        max_expires: raw.max_expires.map(|lifetime| lifetime.0),
        reserved_usernames: raw
            .reserved_usernames
            .map_or(default.reserved_usernames, |names| names.into_iter().map(|name| name.0).collect()),
        roles: raw.roles.into_iter().map(|(name, Table(raw))| (name, role_policy(raw))).collect(),
    }
}

fn role_policy(raw: RawRole) -> RolePolicy {
    RolePolicy {
        allow_user_invites: raw.allow_user_invites,
        allow_contact_invites: raw.allow_contact_invites,
        max_uses: raw.max_uses.map(|most| most.0),
        max_expires: raw.max_expires.map(|lifetime| lifetime.0),
    }
}
