//! The pages: what each says and shows, made from templates, texts and data. Nothing is asked or changed here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jid::BareJid;
use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, HtmlEscape, UndefinedBehavior, context};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::apps::{Apps, Device};
use super::password::BadPassword;
use super::{Look, apps};
use crate::invite::{Invite, InviteId, InviteType, Issuer, Token};
use crate::links::{self, PublicUrl};
use crate::qr;
use crate::refusal::Refusal;
use crate::texts::{Languages, Texts, WebTexts, fill, printable};

type Result<T> = std::result::Result<T, minijinja::Error>;
type Loaded<T> = std::result::Result<T, BadLook>;

/// The templates, each with the one that comes with the program.
const TEMPLATES: [(&str, &str); 7] = [
    ("layout.html", include_str!("../../templates/layout.html")),
    ("parts.html", include_str!("../../templates/parts.html")),
    ("landing.html", include_str!("../../templates/landing.html")),
    ("apps.html", include_str!("../../templates/apps.html")),
    ("form.html", include_str!("../../templates/form.html")),
    ("done.html", include_str!("../../templates/done.html")),
    ("notice.html", include_str!("../../templates/notice.html")),
];

const STYLE: &str = include_str!("../../templates/style.css");

const SAMPLE_TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

/// When it is worth another try, if nothing else is known.
const TRY_AGAIN_SECONDS: u64 = 60;

/// The longest file that is read from the operator's folder.
const LONGEST_FILE: u64 = 256 * 1024;

/// The longest logo.
const LONGEST_LOGO: u64 = 512 * 1024;

/// What the web side looks like, and says.
#[derive(Debug)]
pub struct Pages {
    environment: Environment<'static>,
    languages: Arc<Languages>,
    apps: Apps,
    style: String,
    style_hash: String,
    look: Look,
    logo: Option<Logo>,
    public_url: PublicUrl,
}

/// The operator's logo.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Its media type.
    pub media_type: &'static str,
    /// The image itself.
    pub image: Vec<u8>,
}

/// A page as it is sent.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// Its text.
    pub html: String,
    /// The `xmpp:` address that it stands for, where it does (`rel="alternate"`).
    pub alternate: Option<String>,
    /// After how many seconds it is worth another try, where it is.
    pub retry_after: Option<u64>,
}

/// Why the web side cannot look as it should: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", printable(format_args!("{}: {problem}", .file.display())))]
pub struct BadLook {
    file: PathBuf,
    problem: String,
}

/// What an invite does for whoever opens its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It makes an account.
    Register,
    /// It makes a contact.
    Contact,
    /// It sets a password.
    Reset,
}

/// Somebody's invite, and what it does for them.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The invite.
    pub invite: &'a Invite,
    /// Its token, for the links.
    pub token: &'a Token,
    /// What it does.
    pub kind: Kind,
}

impl Subject<'_> {
    /// The `xmpp:` address, which promises no account where none can be made (XEP-0401 §5).
    fn uri(&self) -> String {
        match (self.kind, self.invite.invite_type) {
            (Kind::Contact, InviteType::AccountAndContact) => {
                let contact = Invite { invite_type: InviteType::Contact, ..self.invite.clone() };
                links::uri(&contact, self.token)
            }
            _ => links::uri(self.invite, self.token),
        }
    }
}

/// Who reads the page.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// In their language.
    pub texts: &'a Texts,
    /// On their device, where that is known.
    pub device: Option<Device>,
}

/// What stands in the form.
#[derive(Clone, Debug, Default)]
pub struct Filled {
    /// What was typed as the username.
    pub username: String,
    /// The offered password was chosen.
    pub made_chosen: bool,
    /// The password that is offered.
    pub made: String,
    /// The form's own secret, which comes back with it.
    pub form: String,
    /// What has to be corrected.
    pub wrong: Option<Wrong>,
    /// Usernames that are free.
    pub suggestions: Vec<String>,
}

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// No username was typed.
    UsernameMissing,
    /// The username cannot be had.
    Username(Refusal),
    /// The password is not taken.
    Password(BadPassword),
    /// The chat server does not take what was typed.
    Refused(Refusal),
    /// It cannot be told at the moment what becomes of it: the same form may be sent again.
    Later {
        /// Somebody else is using the invite.
        busy: bool,
    },
}

/// The other ends: pages that say one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No invite has this token.
    Unknown,
    /// The invite's time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// No use is left.
    UsedUp,
    /// Its last use is being made.
    Busy,
    /// The chat server or the store cannot be asked.
    Away,
    /// Too much came from there, until then.
    TooMany(Timestamp),
    /// The form was not ours, or its cookie is missing.
    Forged,
    /// The body was too long.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// There is no such page.
    NoPage,
    /// The page cannot be had this way.
    WrongMethod,
    /// Something of ours failed.
    Failed,
    /// What was asked for cannot be, for this reason.
    Refused(Refusal),
}

#[derive(Serialize)]
struct Links {
    landing: String,
    apps: String,
    register: String,
    reset: String,
    login: String,
    uri: String,
}

impl Pages {
    /// Reads what the operator has, and tries every page in every language.
    ///
    /// # Errors
    /// If one of the operator's files cannot be used.
    pub fn load(look: Look, public_url: PublicUrl) -> Loaded<Pages> {
        let folder = look.templates.clone();
        let folder = folder.as_deref();
        let in_folder = |name: &str| folder.map(|folder| folder.join(name)).unwrap_or_else(|| name.into());
        let own = |name: &str, built_in: &str| -> Loaded<String> {
            let text = folder.map(|folder| read_text(&folder.join(name))).transpose()?.flatten();
            Ok(text.unwrap_or_else(|| built_in.to_owned()))
        };
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let unusable =
            |error: minijinja::Error| BadLook { file: in_folder("layout.html"), problem: template_problem(&error) };
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(unusable)?;
        environment.set_syntax(syntax);
        environment.add_filter("fill", fill_html);
        environment.add_filter("plain", fill_plain);
        for (name, built_in) in TEMPLATES {
            let problem =
                |error: minijinja::Error| BadLook { file: in_folder(name), problem: template_problem(&error) };
            environment.add_template_owned(name, own(name, built_in)?).map_err(problem)?;
        }
        let listed = own("apps.toml", apps::BUILT_IN)?;
        let apps = Apps::parse(&listed)
            .map_err(|error| BadLook { file: in_folder("apps.toml"), problem: error.to_string() })?;
        let accent = look.accent.map(|accent| accent.style()).unwrap_or_default();
        let style = own("style.css", STYLE)?.trim_end().to_owned() + &accent;
        if style.contains("</") {
            return Err(BadLook { file: in_folder("style.css"), problem: "\"</\" would end the style".to_owned() });
        }
        let languages = Arc::new(languages(folder)?);
        let logo = look.logo.as_deref().map(Logo::read).transpose()?;
        let style_hash = BASE64_STANDARD.encode(Sha256::digest(style.as_bytes()));
        let pages = Pages { environment, languages, apps, style, style_hash, look, logo, public_url };
        pages.try_all().map_err(|error| {
            let name = error.name().unwrap_or("layout.html").to_owned();
            BadLook { file: in_folder(&name), problem: template_problem(&error) }
        })?;
        Ok(pages)
    }

    /// The languages, with those of the operator.
    pub fn languages(&self) -> &Arc<Languages> {
        &self.languages
    }

    /// The operator's logo.
    pub fn logo(&self) -> Option<&Logo> {
        self.logo.as_ref()
    }

    /// The hash of the style, by which the content security policy allows it (CSP 3 §6.7.3).
    pub fn style_hash(&self) -> &str {
        &self.style_hash
    }

    /// The page of an invite that can be used.
    ///
    /// # Errors
    /// As every page: if a template fails after all, with data that no try had.
    pub fn landing(&self, reader: Reader<'_>, subject: Subject<'_>) -> Result<Page> {
        let app = self.apps.of(reader.device, true, Some(&subject.uri())).into_iter().next();
        let mobile = reader.device.is_some_and(Device::is_mobile);
        let uri = subject.uri();
        let page = context! {
            device => context! { mobile, app => data(app.filter(|_| mobile)) },
            qr => context! { page => svg(&self.public_url.page(subject.token)), uri => svg(&uri) },
            ..self.about(reader, subject)
        };
        let page = self.page(reader, StatusCode::OK, "landing.html", subject.invite.host.as_str(), page)?;
        Ok(Page { alternate: Some(uri), ..page })
    }

    /// The apps for a device, for somebody who has an invite, or who has an account already.
    ///
    /// # Errors
    /// See `landing`.
    pub fn apps(&self, reader: Reader<'_>, subject: Subject<'_>, logging_in: bool) -> Result<Page> {
        let texts = &reader.texts.web;
        let uri = subject.uri();
        let [that_redeem, others] = [true, false].map(|invites| {
            let uri = (!logging_in).then_some(uri.as_str());
            self.apps.of(reader.device, invites, uri)
        });
        let device = reader.device.map_or(texts.this_device.as_str(), |device| name_of(device, texts));
        let heading = if logging_in { &texts.login_apps_for } else { &texts.apps_for };
        let links = self.links(subject);
        let from = if logging_in { "&have=account" } else { "" };
        let devices = Device::ALL.map(|device| {
            let url = format!("{}?on={}{from}", links.apps, device.as_str());
            context! { name => name_of(device, texts), url, current => reader.device == Some(device) }
        });
        let page = context! {
            heading => fill(heading, &[("device", device)]),
            logging_in,
            apps_that_redeem => data(that_redeem),
            other_apps => data(others),
            devices => devices.to_vec(),
            ..self.about(reader, subject)
        };
        let page = context! {
            // What registers nobody leads to no form.
            links => context! { register => (subject.kind == Kind::Register && !logging_in).then_some(&links.register), ..data(&links) },
            ..page
        };
        self.page(reader, StatusCode::OK, "apps.html", subject.invite.host.as_str(), page)
    }

    /// The form that makes an account or sets a password.
    ///
    /// # Errors
    /// See `landing`.
    pub fn form(&self, reader: Reader<'_>, subject: Subject<'_>, filled: &Filled) -> Result<Page> {
        let (status, error, field) = match &filled.wrong {
            None => (StatusCode::OK, None, None),
            Some(wrong) => {
                let (status, text, field) = in_words(wrong, reader.texts, &filled.username);
                (status, Some(text), field)
            }
        };
        let links = self.links(subject);
        let own = if subject.kind == Kind::Reset { &links.reset } else { &links.register };
        let page = context! {
            form => &filled.form,
            username => filled.suggestions.first().unwrap_or(&filled.username),
            suggestions => data(&filled.suggestions),
            choice => if filled.made_chosen { "made" } else { "own" },
            made => &filled.made,
            error,
            wrong => field,
            links => context! { self => own, ..data(&links) },
            ..self.about(reader, subject)
        };
        let retry_after = matches!(filled.wrong, Some(Wrong::Later { .. })).then_some(TRY_AGAIN_SECONDS);
        let page = self.page(reader, status, "form.html", subject.invite.host.as_str(), page)?;
        Ok(Page { retry_after, ..page })
    }

    /// The account was made, or the password set.
    ///
    /// # Errors
    /// See `landing`.
    pub fn done(&self, reader: Reader<'_>, subject: Subject<'_>, account: &str) -> Result<Page> {
        let mut apps = self.apps.of(reader.device, true, None);
        apps.extend(self.apps.of(reader.device, false, None));
        let login = format!("{}/apps?have=account", self.public_url.page(subject.token));
        let page = context! {
            account,
            apps => data(apps),
            device => context! { mobile => reader.device.is_some_and(Device::is_mobile) },
            qr => svg(&login),
            ..self.about(reader, subject)
        };
        self.page(reader, StatusCode::OK, "done.html", subject.invite.host.as_str(), page)
    }

    /// A page that says one thing; of an invite, where there is one.
    ///
    /// # Errors
    /// See `landing`.
    pub fn notice(
        &self,
        reader: Reader<'_>,
        notice: &Notice,
        of: Option<(&Invite, &Token)>,
        now: Timestamp,
    ) -> Result<Page> {
        let texts = &reader.texts.web;
        let (status, heading, text) = match notice {
            Notice::Unknown => (StatusCode::NOT_FOUND, &texts.unknown, &texts.unknown_text),
            Notice::Expired => (StatusCode::GONE, &texts.expired, &texts.expired_text),
            Notice::Revoked => (StatusCode::GONE, &texts.revoked, &texts.revoked_text),
            Notice::UsedUp => (StatusCode::GONE, &texts.used, &texts.used_text),
            Notice::Busy => (StatusCode::SERVICE_UNAVAILABLE, &texts.busy, &texts.busy_text),
            Notice::Away => (StatusCode::SERVICE_UNAVAILABLE, &texts.away, &texts.away_text),
            Notice::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, &texts.too_many, &texts.too_many_text),
            Notice::Forged => (StatusCode::FORBIDDEN, &texts.forged, &texts.forged_text),
            Notice::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, &texts.too_large, &texts.too_large_text),
            Notice::TooSlow => (StatusCode::REQUEST_TIMEOUT, &texts.failed, &texts.failed_text),
            Notice::NoPage => (StatusCode::NOT_FOUND, &texts.no_page, &texts.no_page_text),
            Notice::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, &texts.no_page, &texts.no_page_text),
            Notice::Failed => (StatusCode::INTERNAL_SERVER_ERROR, &texts.failed, &texts.failed_text),
            Notice::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, &texts.not_possible, &texts.failed_text),
        };
        let text = match notice {
            Notice::TooMany(until) => fill(text, &[("time", &reader.texts.date(*until))]),
            Notice::Refused(refusal) => refusal.text(reader.texts),
            _ => text.clone(),
        };
        let ended = matches!(notice, Notice::Expired | Notice::Revoked | Notice::UsedUp);
        let inviter = of.and_then(|(invite, _)| invite.inviter.as_ref()).filter(|_| ended);
        let used = of.filter(|(invite, _)| *notice == Notice::UsedUp && invite.invite_type != InviteType::Contact);
        let retry_after = match notice {
            Notice::Busy | Notice::Away => Some(TRY_AGAIN_SECONDS),
            Notice::TooMany(until) => u64::try_from(until.duration_since(now).as_secs()).ok(),
            _ => None,
        };
        let path = |token: &Token, rest: &str| format!("{}/i/{}{rest}", self.public_url.path(), token.reveal());
        let again = matches!(notice, Notice::Busy | Notice::Away | Notice::Forged).then_some(of).flatten();
        let page = context! {
            heading,
            text,
            hint => inviter.map(|inviter| fill(&texts.ask_inviter, &[("inviter", inviter.as_str())])),
            log_in => used.map(|(invite, token)| {
                context! { host => invite.host.as_str(), url => path(token, "/apps?have=account") }
            }),
            again => again.map(|(_, token)| path(token, "")),
        };
        let host = of.map_or(self.public_url.host(), |(invite, _)| invite.host.as_str());
        Ok(Page { retry_after, ..self.page(reader, status, "notice.html", host, page)? })
    }

    fn links(&self, subject: Subject<'_>) -> Links {
        let token = subject.token;
        let path = |rest: &str| format!("{}/i/{}{rest}", self.public_url.path(), token.reveal());
        Links {
            landing: path(""),
            apps: path("/apps"),
            register: path("/register"),
            reset: path("/reset"),
            login: path("/apps?have=account"),
            uri: subject.uri(),
        }
    }

    /// What every page of an invite knows of it.
    fn about(&self, reader: Reader<'_>, subject: Subject<'_>) -> Value {
        let Subject { invite, kind, .. } = subject;
        let account = invite.username.as_ref().map(|username| format!("{username}@{}", invite.host));
        let connects = invite.invite_type.connects();
        let expires = invite.expires_at.map(|end| {
            let (end, words) = (end.strftime("%Y-%m-%dT%H:%M:%SZ"), reader.texts.date(end));
            Value::from_safe_string(format!("<time datetime=\"{end}\">{}</time>", HtmlEscape(&words)))
        });
        context! {
            invite => context! {
                kind => data(kind),
                host => invite.host.as_str(),
                inviter => invite.inviter.as_ref().filter(|_| connects).map(|jid| jid.as_str()),
                account,
                expires,
            },
            links => data(self.links(subject)),
        }
    }

    /// A page, for a host.
    fn page(&self, reader: Reader<'_>, status: StatusCode, template: &str, host: &str, page: Value) -> Result<Page> {
        let site = context! {
            name => self.look.name.as_deref().unwrap_or(host),
            logo => self.logo.as_ref().map(|_| format!("{}/logo", self.public_url.path())),
            imprint => self.look.imprint.as_ref().map(|url| url.as_str()),
            terms => self.look.terms.as_ref().map(|url| url.as_str()),
            style => Value::from_safe_string(self.style.clone()),
        };
        let page = context! { t => data(reader.texts), site, ..page };
        let html = self.environment.get_template(template)?.render(page)?;
        Ok(Page { status, html, alternate: None, retry_after: None })
    }

    /// Makes every page, so that a mistake in a template shows when the daemon starts.
    fn try_all(&self) -> Result<()> {
        let types =
            [InviteType::Account, InviteType::AccountAndContact, InviteType::Contact, InviteType::PasswordReset];
        let (Some(token), now) = (Token::parse(SAMPLE_TOKEN), Timestamp::UNIX_EPOCH) else { return Ok(()) };
        for texts in self.languages.iter() {
            for invite in types.into_iter().filter_map(sample) {
                let kind = match invite.invite_type {
                    InviteType::Account | InviteType::AccountAndContact => Kind::Register,
                    InviteType::Contact => Kind::Contact,
                    InviteType::PasswordReset => Kind::Reset,
                };
                let subject = Subject { invite: &invite, token: &token, kind };
                for device in [None, Some(Device::Android), Some(Device::Windows)] {
                    let reader = Reader { texts, device };
                    self.landing(reader, subject)?;
                    self.apps(reader, subject, false)?;
                    self.apps(reader, subject, true)?;
                    self.done(reader, subject, "user@example.org")?;
                }
                let reader = Reader { texts, device: None };
                let wrong = Some(Wrong::Username(Refusal::UsernameTaken));
                let suggestions = vec!["user2".to_owned()];
                self.form(reader, subject, &Filled::default())?;
                self.form(reader, subject, &Filled { wrong, suggestions, ..Filled::default() })?;
                self.notice(reader, &Notice::UsedUp, Some((&invite, &token)), now)?;
                self.notice(reader, &Notice::Busy, Some((&invite, &token)), now)?;
                self.notice(reader, &Notice::TooMany(now), None, now)?;
            }
        }
        Ok(())
    }
}

/// An invite to try the templates with.
fn sample(invite_type: InviteType) -> Option<Invite> {
    let user = BareJid::new("user@example.org").ok()?;
    Some(Invite {
        id: InviteId::parse("abcdefgh2345")?,
        token_hash: Token::parse(SAMPLE_TOKEN)?.hash(),
        invite_type,
        host: user.domain().to_owned(),
        username: user.node().map(ToOwned::to_owned).filter(|_| invite_type == InviteType::PasswordReset),
        inviter: Some(user).filter(|_| invite_type != InviteType::Account),
        issuer: Issuer::User,
        roles: vec![],
        groups: vec![],
        note: None,
        max_uses: Some(1),
        uses: 0,
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: Some(Timestamp::UNIX_EPOCH),
        revoked_at: None,
    })
}

impl Logo {
    fn read(file: &Path) -> Loaded<Logo> {
        let bad = |problem: String| BadLook { file: file.to_owned(), problem };
        let image = read_file(file, LONGEST_LOGO)?.ok_or_else(|| bad("there is no such file".to_owned()))?;
        let extension = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        let media_type = match extension.as_deref() {
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("webp") => "image/webp",
            _ => return Err(bad("expected a file that ends in .svg, .png, .jpg or .webp".to_owned())),
        };
        Ok(Logo { media_type, image })
    }
}

/// The built-in languages, and those of the operator's folder.
fn languages(folder: Option<&Path>) -> Loaded<Languages> {
    let mut languages = Languages::built_in();
    let Some(folder) = folder.map(|folder| folder.join("languages")).filter(|folder| folder.is_dir()) else {
        return Ok(languages);
    };
    let bad = |file: &Path, problem: String| BadLook { file: file.to_owned(), problem };
    let entries = std::fs::read_dir(&folder).map_err(|error| bad(&folder, error.to_string()))?;
    for entry in entries {
        let file = entry.map_err(|error| bad(&folder, error.to_string()))?.path();
        let (Some(code), true) =
            (file.file_stem().and_then(|stem| stem.to_str()), file.extension().is_some_and(|end| end == "toml"))
        else {
            continue;
        };
        let text = read_text(&file)?.unwrap_or_default();
        languages = languages.with(code, &text).map_err(|error| bad(&file, error.to_string()))?;
    }
    Ok(languages)
}

/// The text of a file; `None` if there is no such file.
fn read_text(file: &Path) -> Loaded<Option<String>> {
    let Some(bytes) = read_file(file, LONGEST_FILE)? else { return Ok(None) };
    let not_text = |_| BadLook { file: file.to_owned(), problem: "expected UTF-8 text".to_owned() };
    String::from_utf8(bytes).map(Some).map_err(not_text)
}

fn read_file(file: &Path, longest: u64) -> Loaded<Option<Vec<u8>>> {
    let bad = |problem: String| BadLook { file: file.to_owned(), problem };
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.len() > longest => Err(bad(format!("longer than {longest} bytes"))),
        Ok(_) => std::fs::read(file).map(Some).map_err(|error| bad(format!("cannot be read: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(format!("cannot be read: {error}"))),
    }
}

fn template_problem(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{}", error.to_string().replace('\n', " "))
}

/// Data, for a template.
fn data(from: impl Serialize) -> Value {
    Value::from(Serde(from))
}

/// An image of the code; nothing where the text is too long for one, which no link of ours is.
fn svg(text: &str) -> String {
    qr::svg(text).unwrap_or_default()
}

fn name_of(device: Device, texts: &WebTexts) -> &str {
    match device {
        Device::Android => &texts.android,
        Device::Ios => &texts.ios,
        Device::Windows => &texts.windows,
        Device::MacOs => &texts.macos,
        Device::Linux => &texts.linux,
    }
}

/// What is wrong with a form: the status, the words, and which field it is.
fn in_words(wrong: &Wrong, texts: &Texts, username: &str) -> (StatusCode, String, Option<&'static str>) {
    let web = &texts.web;
    let of_username = |text: &str| fill(text, &[("username", username)]);
    match wrong {
        Wrong::UsernameMissing => (StatusCode::UNPROCESSABLE_ENTITY, web.username_missing.clone(), Some("username")),
        Wrong::Username(refusal) => {
            let (status, text) = match refusal {
                Refusal::UsernameTaken => (StatusCode::CONFLICT, of_username(&web.username_taken)),
                Refusal::UsernameReserved => (StatusCode::CONFLICT, of_username(&web.username_reserved)),
                Refusal::InvalidUsername(_) => (StatusCode::UNPROCESSABLE_ENTITY, of_username(&web.username_invalid)),
                other => (StatusCode::UNPROCESSABLE_ENTITY, other.text(texts)),
            };
            (status, text, Some("username"))
        }
        Wrong::Password(problem) => {
            let text = match problem {
                BadPassword::Missing => &web.password_missing,
                BadPassword::Short => &web.password_short,
                BadPassword::Long => &web.password_long,
                BadPassword::IsUsername => &web.password_is_username,
                BadPassword::Spaces => &web.password_spaces,
                BadPassword::Characters => &web.password_characters,
            };
            (StatusCode::UNPROCESSABLE_ENTITY, text.clone(), Some("password"))
        }
        Wrong::Later { busy } => {
            let text = if *busy { &web.busy_text } else { &web.away_text };
            (StatusCode::SERVICE_UNAVAILABLE, text.clone(), None)
        }
        Wrong::Refused(refusal) => {
            let (status, field) = match refusal {
                Refusal::PasswordRefused(_) => (StatusCode::UNPROCESSABLE_ENTITY, Some("password")),
                Refusal::RegistrationLimited(_) => (StatusCode::TOO_MANY_REQUESTS, None),
                _ => (StatusCode::UNPROCESSABLE_ENTITY, None),
            };
            (status, refusal.text(texts), field)
        }
    }
}

/// The filter `fill`: a text with its placeholders filled in, each set apart from what is written the other way round.
fn fill_html(text: String, values: Value) -> Result<Value> {
    let filled = filled(&HtmlEscape(&text).to_string(), &values, |value| {
        if value.is_safe() { value.to_string() } else { format!("<bdi>{}</bdi>", HtmlEscape(&value.to_string())) }
    })?;
    Ok(Value::from_safe_string(filled))
}

/// The filter `plain`: a text with its placeholders filled in, for where no markup can be.
fn fill_plain(text: String, values: Value) -> Result<String> {
    filled(&text, &values, Value::to_string)
}

fn filled(text: &str, values: &Value, shown: impl Fn(&Value) -> String) -> Result<String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for name in values.try_iter()? {
        let value = values.get_item(&name)?;
        let items: Vec<String> = match value.kind() {
            ValueKind::Seq => value.try_iter()?.map(|item| shown(&item)).collect(),
            _ => vec![shown(&value)],
        };
        pairs.push((name.to_string(), items.join(", ")));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(fill(text, &pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(folder: &Path) -> Look {
        Look { templates: Some(folder.to_owned()), ..Look::default() }
    }

    fn url() -> PublicUrl {
        PublicUrl::parse("https://invite.example.org/join").unwrap()
    }

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        folder
    }

    fn problem(files: &[(&str, &str)]) -> String {
        let folder = folder_with(files);
        let problem = Pages::load(look(folder.path()), url()).unwrap_err().to_string();
        problem.strip_prefix(&format!("{}/", folder.path().display())).unwrap().to_owned()
    }

    fn landing(pages: &Pages, language: &str, invite_type: InviteType) -> String {
        let (invite, token) = (sample(invite_type).unwrap(), Token::parse(SAMPLE_TOKEN).unwrap());
        let reader = Reader { texts: pages.languages().preferred(language), device: Some(Device::Android) };
        let subject = Subject { invite: &invite, token: &token, kind: Kind::Register };
        pages.landing(reader, subject).unwrap().html
    }

    #[test]
    fn every_page_can_be_made_in_every_language() {
        Pages::load(Look::default(), url()).unwrap();
    }

    #[test]
    fn what_the_operator_has_takes_the_place_of_what_is_built_in() {
        let english = include_str!("../../languages/en.toml");
        let other = english.replace("invites you to chat", "marhaba").replace("\"ltr\"", "\"rtl\"");
        let folder = folder_with(&[
            ("style.css", "body{color:red}"),
            ("languages/ar.toml", &other),
            ("notice.html", "{% extends \"layout.html\" %}{% block content %}Ours{% endblock %}"),
            (
                "apps.toml",
                "[[app]]\nname = \"Own\"\non = [\"android\"]\ninvites = true\n\
                           get = [{ from = \"us\", url = \"https://example.org/own\" }]",
            ),
        ]);
        let accent = super::super::Accent::parse("#ffd200");
        let pages =
            Pages::load(Look { accent, name: Some("<Our chat>".into()), ..look(folder.path()) }, url()).unwrap();
        let page = landing(&pages, "ar-EG", InviteType::AccountAndContact);
        for part in [
            "<html lang=\"ar\" dir=\"rtl\">",
            "<style>body{color:red}:root{--accent:#ffd200;--on-accent:#000}</style>",
            "<span>&lt;Our chat&gt;</span>",
            "<bdi>user@example.org</bdi> marhaba",
            "https:&#x2f;&#x2f;example.org&#x2f;own",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let reader = Reader { texts: Texts::english(), device: None };
        let notice = pages.notice(reader, &Notice::Unknown, None, Timestamp::UNIX_EPOCH).unwrap();
        assert!(notice.html.contains("Ours") && notice.status == StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_when_it_is_read() {
        for (file, text, said) in [
            ("landing.html", "{% if %}", "landing.html: line 1: "),
            ("landing.html", "\n{{ invite.inviterr.x }}", "landing.html: line 2: "),
            ("landing.html", "{{ t.web.nothing }}", "landing.html: line 1: "),
            ("parts.html", "", "landing.html: "),
            ("apps.toml", "[[ap]]", "apps.toml: line 1: unknown field ap, expected app"),
            ("style.css", "</style><script>", "style.css: \"</\" would end the style"),
            ("languages/xx.toml", "[language]", "languages/xx.toml: xx.toml: "),
        ] {
            let problem = problem(&[(file, text)]);
            assert!(problem.starts_with(said), "{file}: {problem}");
        }
    }

    #[test]
    fn names_are_text_and_never_markup() {
        let pages = Pages::load(Look::default(), url()).unwrap();
        let (mut invite, token) = (sample(InviteType::Account).unwrap(), Token::parse(SAMPLE_TOKEN).unwrap());
        invite.invite_type = InviteType::Contact;
        invite.inviter = Some(BareJid::new("a$%!;{host}=x@example.org").unwrap());
        let reader = Reader { texts: Texts::english(), device: None };
        let subject = Subject { invite: &invite, token: &token, kind: Kind::Contact };
        let page = pages.landing(reader, subject).unwrap().html;
        assert!(page.contains("<bdi>a$%!;{host}=x@example.org</bdi>"), "{page}");
        let filled = Filled { username: "\"><script>alert(1)</script>".into(), ..Filled::default() };
        let wrong = Some(Wrong::Username(Refusal::InvalidUsername(String::new())));
        let page = pages.form(reader, Subject { kind: Kind::Register, ..subject }, &Filled { wrong, ..filled });
        let page = page.unwrap().html;
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn the_preview_of_a_link_does_not_hold_its_token() {
        let pages = Pages::load(Look::default(), url()).unwrap();
        let page = landing(&pages, "en", InviteType::AccountAndContact);
        let metas: Vec<&str> =
            page.lines().filter(|line| line.starts_with("<meta") || line.starts_with("<title")).collect();
        assert!(metas.iter().any(|line| line.contains("og:title") && line.contains("user@example.org invites you")));
        assert!(metas.iter().all(|line| !line.contains(SAMPLE_TOKEN)), "{metas:?}");
    }
}
