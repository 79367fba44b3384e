//! Filled-in forms of the admins' commands. Either the invite that was asked for comes back, and
//! keeps the rules, or the form comes once more, with the problem and the values.
//!
//! An input is a number of forms with an empty line between them. The first line of a form says
//! which command it is ("reset", else a new account) and how it is sent: "ask" for the form first,
//! "relay" it through the host. Each further line is a field, `var=value`. `=value` is one more
//! value of the field above, and `\n` in a value begins a line.
#![no_main]

use std::collections::BTreeSet;

use easy_invite::invite::{Invite, InviteType, Issuer, State, username};
use easy_invite::links::Reference;
use easy_invite_fuzz::{ADMIN, COMPONENT, HOST, Server, clock, has_account, without_growth};
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use minidom::Element;
use percent_encoding::percent_decode_str;
use rxml::xml_ncname;

const COMMANDS: &str = "http://jabber.org/protocol/commands";
const DATA_FORMS: &str = "jabber:x:data";
const CREATE_ACCOUNT: &str = "urn:xmpp:invite#create-account";
const PASSWORD_RESET: &str = "xmpp:prosody.im/mod_invites_adhoc#password-reset";

/// How long the name of a field may be. With a longer one, the whole stanza is refused.
const LONGEST_VAR: usize = 500;

/// A form that was filled in.
struct Filled<'a> {
    how: &'a str,
    fields: Vec<(String, Vec<String>)>,
}

impl<'a> Filled<'a> {
    fn of(text: &'a str) -> Self {
        let mut lines = text.lines();
        let how = lines.next().unwrap_or_default();
        let mut fields: Vec<(String, Vec<String>)> = Vec::new();
        for line in lines {
            match (line.split_once('='), fields.last_mut()) {
                (Some(("", value)), Some((_, values))) => values.push(xml(value)),
                (Some((var, value)), _) => fields.push((xml(var), vec![xml(value)])),
                (None, _) => fields.push((xml(line), Vec::new())),
            }
        }
        fields.iter_mut().for_each(|(var, _)| *var = var.chars().take(LONGEST_VAR).collect());
        Filled { how, fields }
    }

    fn node(&self) -> &'static str {
        if self.how.contains("reset") { PASSWORD_RESET } else { CREATE_ACCOUNT }
    }

    /// The value that counts: the first one of the first field with this name.
    fn value(&self, var: &str) -> Option<&str> {
        let (_, values) = self.fields.iter().find(|(name, _)| name == var)?;
        values.first().map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn become_contacts(&self) -> bool {
        matches!(self.value("roster-subscription"), Some("1" | "true"))
    }

    /// The fields of the form, with their values when it comes back.
    fn comes_back(&self) -> Vec<(&'static str, &str)> {
        let typed = |var, default| (var, self.value(var).unwrap_or(default));
        match self.node() {
            PASSWORD_RESET => vec![typed("accountjid", "")],
            _ => vec![
                typed("username", ""),
                ("roster-subscription", if self.become_contacts() { "1" } else { "0" }),
                typed("note", ""),
            ],
        }
    }

    /// A list has one of its options as its value: the one that was typed, if it has that.
    fn check_list(&self, field: &Element) {
        let value = |element: &Element| element.get_child("value", DATA_FORMS).map(Element::text);
        let options: Vec<_> = field.children().filter(|child| child.name() == "option").filter_map(value).collect();
        let chosen = value(field).expect("a value");
        assert!(options.contains(&chosen), "{chosen:?} is no option");
        let typed = self.value(field.attr("var").expect("a name")).map(str::to_owned);
        assert!(typed.is_none_or(|typed| typed == chosen || !options.contains(&typed)), "{chosen:?} was not typed");
    }

    fn submitted(&self) -> Element {
        let mut form = Element::builder("x", DATA_FORMS).attr(xml_ncname!("type").into(), "submit").build();
        for (var, values) in &self.fields {
            let mut field = Element::builder("field", DATA_FORMS).attr(xml_ncname!("var").into(), var.as_str()).build();
            for value in values {
                field.append_child(Element::builder("value", DATA_FORMS).append(value.as_str()).build());
            }
            form.append_child(field);
        }
        form
    }

    /// Sends a command and returns the `<command/>` of the answer.
    async fn execute(&self, server: &mut Server, session: Option<&str>, form: Option<Element>) -> Element {
        let command = Element::builder("command", COMMANDS)
            .attr(xml_ncname!("node").into(), self.node())
            .attr(xml_ncname!("sessionid").into(), session)
            .append_all(form)
            .build();
        let command = String::from(&command);
        let iq = if self.how.contains("relay") {
            format!(
                "<iq type='set' from='{HOST}' to='{COMPONENT}' id='1'>\
                 <relay xmlns='urn:easy-invite:gate:1' from='{ADMIN}/form'>{command}</relay></iq>"
            )
        } else {
            format!("<iq type='set' from='{ADMIN}/form' to='{COMPONENT}' id='1'>{command}</iq>")
        };
        let answers = server.send(&iq).await;
        let [answer] = answers.as_slice() else { panic!("{} answers", answers.len()) };
        assert_eq!(answer.attr("type"), Some("result"), "{}", String::from(answer));
        answer.get_child("command", COMMANDS).expect("a command").clone()
    }

    async fn submit(&self, server: &mut Server, reserved: &mut BTreeSet<String>) {
        let mut session = None;
        if self.how.contains("ask") {
            let asked = self.execute(server, None, None).await;
            assert_eq!(asked.attr("status"), Some("executing"));
            session = asked.attr("sessionid").map(str::to_owned);
        }
        let command = self.execute(server, session.as_deref(), Some(self.submitted())).await;
        assert!(session.is_none() || command.attr("sessionid") == session.as_deref());
        let form = command.get_child("x", DATA_FORMS).expect("a form");
        match command.attr("status") {
            Some("executing") => {
                assert!(!value(form, "error").expect("what is wrong").is_empty());
                for (var, typed) in self.comes_back() {
                    assert_eq!(value(form, var).as_deref(), Some(typed), "{var}");
                }
                for list in form.children().filter(|field| field.attr("type") == Some("list-single")) {
                    self.check_list(list);
                }
            }
            Some("completed") => {
                let uri = value(form, "uri").expect("a URI");
                let reference: Reference = uri.parse().expect("a URI that names its invite");
                let invite = server.invites.find(reference).await.expect("the invite");
                self.check(&invite, &uri);
                let expire = value(form, "expire").map(|text| text.parse::<Timestamp>().expect("an instant"));
                assert_eq!(expire, invite.expires_at);
                if let (InviteType::Account | InviteType::AccountAndContact, Some(name)) =
                    (invite.invite_type, &invite.username)
                {
                    assert!(reserved.insert(name.to_string()), "{name} is reserved twice");
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Is the invite what was asked for, and does it keep the rules?
    fn check(&self, invite: &Invite, uri: &str) {
        let now = clock();
        let days = |days: i64| now.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
        assert_eq!((invite.host.as_str(), invite.issuer, invite.uses), (HOST, Issuer::Admin, 0));
        assert_eq!((invite.created_at, invite.state(now)), (now, State::Pending));
        assert_eq!(invite.inviter.as_ref().map(|jid| jid.as_str()), Some(ADMIN));
        assert!(invite.roles.is_empty() && invite.groups.is_empty());
        let name = invite.username.as_ref().map(|node| node.as_str());
        assert_eq!(name.map(|name| username(name).expect("a username").to_string()).as_deref(), name, "not folded");
        let names_account = name.is_some_and(has_account);
        let token = uri.rsplit_once("preauth=").expect("a token").1.trim_end_matches(";ibr=y");
        let leads_to = |address: String, rest: &str| {
            let (path, query) = uri.strip_prefix("xmpp:").and_then(|uri| uri.split_once('?')).expect("a URI");
            assert_eq!(percent_decode_str(path).decode_utf8().expect("UTF-8"), address);
            assert_eq!(query, rest.replace("{token}", token));
        };
        if self.node() == PASSWORD_RESET {
            assert!(names_account, "{name:?} has no account");
            assert_eq!((invite.invite_type, invite.max_uses), (InviteType::PasswordReset, Some(1)));
            assert_eq!(invite.expires_at, Some(days(1)));
            return leads_to(format!("{}@{HOST}", name.unwrap()), "register;preauth={token}");
        }
        assert!(!names_account, "{name:?} has an account");
        assert_eq!(name.is_some(), self.value("username").is_some());
        assert_eq!(invite.invite_type == InviteType::AccountAndContact, self.become_contacts());
        assert!(self.become_contacts() || invite.invite_type == InviteType::Account);
        assert!(name.is_none() || invite.max_uses == Some(1), "a username that is used more than once");
        match self.value("uses").unwrap_or("1") {
            "unlimited" => assert_eq!(invite.max_uses, None),
            number => assert_eq!(invite.max_uses, Some(number.parse().expect("a number"))),
        }
        assert_ne!(invite.max_uses, Some(0));
        match self.value("expires") {
            None => assert_eq!(invite.expires_at, Some(days(7))),
            Some("never") => assert_eq!(invite.expires_at, None),
            Some(_) => assert!(invite.expires_at.is_some_and(|end| now < end && end <= days(3650))),
        }
        assert_eq!(invite.note.as_deref(), self.value("note"));
        assert!(
            invite.note.as_ref().is_none_or(|note| note.chars().count() <= 500 && !note.contains(char::is_control))
        );
        match (name, self.become_contacts()) {
            (Some(name), _) => leads_to(format!("{name}@{HOST}"), "register;preauth={token}"),
            (None, true) => leads_to(ADMIN.to_owned(), "roster;preauth={token};ibr=y"),
            (None, false) => leads_to(HOST.to_owned(), "register;preauth={token}"),
        }
    }
}

/// A text as XML can carry it.
fn xml(text: &str) -> String {
    let allowed = |c| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.replace("\\n", "\n").replace(|c| !allowed(c), "?")
}

/// The value of a form's field.
fn value(form: &Element, var: &str) -> Option<String> {
    let field = form.children().find(|child| child.attr("var") == Some(var))?;
    field.get_child("value", DATA_FORMS).map(Element::text)
}

fuzz_target!(|input: &str| {
    without_growth(|| {
        Server::run(async |server| {
            let mut reserved = BTreeSet::new();
            for form in input.split("\n\n") {
                Filled::of(form).submit(server, &mut reserved).await;
            }
        });
    });
});
