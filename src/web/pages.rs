//! The pages: what each says and shows, made from templates, texts and data. No I/O once loaded.

use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jid::{BareJid, DomainPart};
use jiff::Timestamp;
use minijinja::value::Value;
use minijinja::{HtmlEscape, context};
use sha2::{Digest, Sha256};

use super::apps::{Apps, Browser, Device};
use super::branding::{BadBranding, Branding, Image};
use super::forms::{Correction, Fields};
use super::notices::Notice;
use super::templates::{Templates, bad_template, data};
use crate::fields::{Field, Kind};
use crate::invite::{Invite, InviteId, InviteType, Issuer, Purpose, Token};
use crate::invites::Registered;
use crate::links::{self, PublicUrl};
use crate::policy::{self, HostPolicy, Wish};
use crate::qr;
use crate::refusal::Refusal;
use crate::texts::{Languages, Texts};

type Result<T> = std::result::Result<T, minijinja::Error>;

const STYLE: &str = include_str!("../../templates/style.css");

/// After how many seconds to try again after a failure that may pass.
const TRY_AGAIN_SECONDS: u64 = 60;

const SAMPLE_TOKEN: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";

/// All that the pages are made from.
#[derive(Debug)]
pub struct Pages {
    templates: Templates,
    /// The languages for chats.
    languages: Arc<Languages>,
    /// The same for pages.
    texts: Languages,
    apps: Apps,
    style: String,
    branding: Branding,
    logo: Option<Image>,
    icon: Image,
    public_url: PublicUrl,
}

/// A page as it is sent.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// Its text.
    pub html: String,
    /// The `xmpp:` URI that stands for the same invite (`rel="alternate"`).
    pub alternate: Option<String>,
    /// After how many seconds to try again, if that may help.
    pub retry_after: Option<u64>,
    /// A cookie for the browser.
    pub cookie: Option<String>,
}

/// The invite whose page was opened.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The invite.
    pub invite: Invite,
    /// Its token, for the links.
    pub token: Token,
    /// What the visitor can use it for now; `None`: nothing.
    pub purpose: Option<Purpose>,
}

impl Subject {
    /// The `xmpp:` URI. It offers no account if none can be made (XEP-0401 §5).
    fn uri(&self) -> String {
        match self.invite.invite_type {
            InviteType::AccountAndContact if self.purpose != Some(Purpose::Register) => {
                let contact = Invite { invite_type: InviteType::Contact, ..self.invite.clone() };
                links::uri(&contact, &self.token)
            }
            _ => links::uri(&self.invite, &self.token),
        }
    }
}

/// The reader of a page.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The texts in their language.
    pub texts: &'a Texts,
    /// Their browser.
    pub browser: Browser<'a>,
    /// The page was opened at the path of an old link, perhaps at another origin than the other
    /// pages.
    pub at_old_path: bool,
}

/// The password that an account got.
#[derive(Clone, Copy)]
pub enum Password<'a> {
    /// The person typed it.
    Typed,
    /// The form offered it.
    Offered(&'a str),
    /// The form offered it, and the person has seen it since.
    Seen,
}

impl Pages {
    /// Reads the operator's files. If they have a folder of their own, renders every page in every
    /// language, so that a mistake shows when the daemon starts. A test does so without a folder.
    ///
    /// # Errors
    /// If one of the operator's files cannot be used.
    pub fn load(branding: Branding, public_url: PublicUrl) -> std::result::Result<Pages, BadBranding> {
        let templates = Templates::load(&branding)?;
        let apps = Apps::load(&branding)?;
        let accent = branding.accent.unwrap_or_default().style();
        let style = branding.text("style.css", STYLE)?.trim_end().to_owned() + &accent;
        if style.contains("</") {
            return Err(branding.problem("style.css", "\"</\" would end the style"));
        }
        let languages = Arc::new(branding.languages()?);
        let texts = languages.isolated();
        branding.about.as_ref().map_or(Ok(()), |about| about.check_languages(&languages))?;
        let (logo, icon) = (branding.logo()?, branding.icon()?);
        let pages = Pages { templates, languages, texts, apps, style, branding, logo, icon, public_url };
        if pages.branding.templates.is_some() {
            pages.try_all().map_err(|error| bad_template(&pages.branding, "layout.html", &error))?;
        }
        Ok(pages)
    }

    /// The languages for chats, with those of the operator.
    pub fn languages(&self) -> &Arc<Languages> {
        &self.languages
    }

    /// The texts for a reader who wants these languages (`Accept-Language`).
    pub fn texts(&self, wanted: &str) -> &Texts {
        self.texts.preferred(wanted)
    }

    /// The operator's logo.
    pub fn logo(&self) -> Option<&Image> {
        self.logo.as_ref()
    }

    /// The picture that stands for the pages in previews of links and on home screens.
    pub fn icon(&self) -> &Image {
        &self.icon
    }

    /// Where browsers find the pages.
    pub fn public_url(&self) -> &PublicUrl {
        &self.public_url
    }

    /// The hash of the style, by which the content security policy allows it (CSP 3 §6.7.3).
    pub fn style_hash(&self) -> String {
        BASE64_STANDARD.encode(Sha256::digest(self.style.as_bytes()))
    }

    /// A link to an invite's page, or to a page such as `/register` below it.
    pub fn link(&self, reader: Reader<'_>, token: &Token, page: &str) -> String {
        format!("{}/i/{}{page}", self.root(reader), token.reveal())
    }

    /// What links to other pages begin with.
    fn root(&self, reader: Reader<'_>) -> String {
        if reader.at_old_path { self.public_url.to_string() } else { self.public_url.path().to_owned() }
    }

    /// The page of an invite that can be used.
    ///
    /// # Errors
    /// Like every page: if a template fails on data that [`Pages::load`] did not try.
    pub fn landing(&self, reader: Reader<'_>, subject: &Subject) -> Result<Page> {
        let uri = subject.uri();
        let more = context! {
            device => device(reader),
            apps => data(self.apps.first_for_invites(reader.browser.devices, &uri)),
            qr => context! { page => svg(&self.public_url.page(&subject.token)), uri => svg(&uri) },
        };
        let page = self.about(reader, StatusCode::OK, subject, "landing.html", more)?;
        Ok(Page { alternate: Some(uri), ..page })
    }

    /// The apps for the reader's device: to use the invite in, or to log in with an account.
    ///
    /// # Errors
    /// See [`Pages::landing`].
    pub fn apps(&self, reader: Reader<'_>, subject: &Subject, logging_in: bool) -> Result<Page> {
        let uri = subject.uri();
        let more = context! {
            logging_in,
            device => device(reader),
            devices => data(Device::ALL),
            apps => data(self.apps.of(reader.browser.devices, (!logging_in).then_some(uri.as_str()))),
        };
        self.about(reader, StatusCode::OK, subject, "apps.html", more)
    }

    /// The form that makes an account or sets a password, with what was filled in, and what has to
    /// be corrected.
    ///
    /// # Errors
    /// See [`Pages::landing`].
    pub fn form(
        &self,
        reader: Reader<'_>,
        subject: &Subject,
        fields: &Fields,
        correction: Option<&Correction>,
    ) -> Result<Page> {
        let suggestions = correction.map(|correction| correction.suggestions.as_slice()).unwrap_or_default();
        let problems = correction.map(|correction| correction.problems.as_slice()).unwrap_or_default();
        let own = if subject.purpose == Some(Purpose::Reset) { "/reset" } else { "/register" };
        let more = context! {
            form => &fields.form,
            username => format!("{}{}", suggestions.first().unwrap_or(&fields.username), fields.domain),
            suggestions => data(suggestions),
            choice => if fields.takes_offered() { "offered" } else { "own" },
            offered => &fields.offered,
            asked => data(fields.shown(reader.texts)),
            problems => data(problems),
            own => self.link(reader, &subject.token, own),
        };
        let status = correction.map_or(StatusCode::OK, |correction| correction.status);
        self.about(reader, status, subject, "form.html", more)
    }

    /// The page after an account was made, or a password set. `service`: the address to which the
    /// new user can write to invite others.
    ///
    /// # Errors
    /// See [`Pages::landing`].
    pub fn done(
        &self,
        reader: Reader<'_>,
        subject: &Subject,
        registered: &Registered,
        password: Password<'_>,
        service: Option<&DomainPart>,
    ) -> Result<Page> {
        let mut apps = self.apps.of(reader.browser.devices, None);
        apps.sort_by_key(|app| !app.invites);
        let login = format!("{}/apps?have=account", self.public_url.page(&subject.token));
        let more = context! {
            account => registered.account.as_str(),
            finished => registered.finished,
            service => service.map(|service| service.as_str()),
            typed => matches!(password, Password::Typed),
            offered => if let Password::Offered(offered) = password { Some(offered) } else { None },
            apps => data(apps),
            device => device(reader),
            qr => svg(&login),
            login,
        };
        self.about(reader, StatusCode::OK, subject, "done.html", more)
    }

    /// A page that says one thing, about an invite if there is one. `open`: the hosts where its
    /// reader can register without an invite.
    ///
    /// # Errors
    /// See [`Pages::landing`].
    pub fn notice(
        &self,
        reader: Reader<'_>,
        notice: &Notice,
        subject: Option<&Subject>,
        open: &[&DomainPart],
        now: Timestamp,
    ) -> Result<Page> {
        let invite = subject.map(|subject| &subject.invite);
        let (status, heading, text) = notice.in_words(invite, reader.texts);
        let inviter = invite.filter(|_| notice.is_end()).and_then(Invite::inviter_shown);
        let log_in = subject
            .filter(|it| *notice == Refusal::UsedUp.into() && it.invite.invite_type != InviteType::Contact)
            .map(|subject| {
                let url = self.link(reader, &subject.token, "/apps?have=account");
                context! { host => subject.invite.host.as_str(), url }
            });
        let reset = invite.is_some_and(|invite| invite.invite_type == InviteType::PasswordReset);
        let apps = if open.is_empty() { Vec::new() } else { self.apps.of(reader.browser.devices, None) };
        let open = open.iter().map(|host| context! { host => host.as_str(), uri => links::open_registration(host) });
        let again = subject.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE || *notice == Notice::Forged);
        let page = context! {
            heading,
            text,
            inviter,
            log_in,
            reset,
            open => open.collect::<Vec<_>>(),
            apps => data(apps),
            device => device(reader),
            again => again.map(|subject| self.link(reader, &subject.token, "")),
        };
        let host = invite.map_or_else(|| self.public_url.host(), |invite| invite.host.to_string());
        let page = self.page(reader, status, "notice.html", &host, page)?;
        let refused_for =
            notice.refused_until().and_then(|until| u64::try_from(until.duration_since(now).as_secs()).ok());
        Ok(Page { retry_after: refused_for.or(page.retry_after), ..page })
    }

    /// A page about an invite. `more` is what its template needs besides the invite.
    fn about(
        &self,
        reader: Reader<'_>,
        status: StatusCode,
        subject: &Subject,
        template: &str,
        more: Value,
    ) -> Result<Page> {
        let invite = &subject.invite;
        let account = invite.account().map(|account| account.to_string());
        let expires = invite.expires_at.map(|end| {
            let (end, words) = (end.strftime("%Y-%m-%dT%H:%M:%SZ"), reader.texts.date(end));
            Value::from_safe_string(format!("<time datetime=\"{end}\">{}</time>", HtmlEscape(&words)))
        });
        let link = |page: &str| self.link(reader, &subject.token, page);
        let page = context! {
            invite => context! {
                kind => data(subject.purpose),
                host => invite.host.as_str(),
                inviter => invite.contact().and_then(|_| invite.inviter_shown()),
                account,
                expires,
            },
            openers => data(self.apps.openers(reader.browser.devices)),
            links => context! {
                landing => link(""),
                page => self.public_url.page(&subject.token),
                apps => link("/apps"),
                register => link("/register"),
                reset => link("/reset"),
                login => link("/apps?have=account"),
                uri => subject.uri(),
            },
            ..more
        };
        self.page(reader, status, template, invite.host.as_str(), page)
    }

    fn page(&self, reader: Reader<'_>, status: StatusCode, template: &str, host: &str, page: Value) -> Result<Page> {
        let about = self.branding.about.as_ref().and_then(|about| about.in_language(&reader.texts.code));
        let site = context! {
            name => self.branding.name.as_deref().unwrap_or(host),
            about => about.unwrap_or(&reader.texts.web.about),
            accent => self.branding.accent.unwrap_or_default().hex(),
            icon => format!("{}/icon.png", self.root(reader)),
            preview => format!("{}/icon.png", self.public_url),
            logo => self.logo.as_ref().map(|_| format!("{}/logo", self.root(reader))),
            imprint => self.branding.imprint.as_ref().map(|url| url.as_str()),
            terms => self.branding.terms.as_ref().map(|url| url.as_str()),
            style => Value::from_safe_string(self.style.clone()),
        };
        let page = context! { t => data(reader.texts), site, ..page };
        let html = self.templates.render(template, page)?;
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(TRY_AGAIN_SECONDS);
        Ok(Page { status, html, alternate: None, retry_after, cookie: None })
    }

    /// Renders every page.
    fn try_all(&self) -> Result<()> {
        let types =
            [InviteType::Account, InviteType::AccountAndContact, InviteType::Contact, InviteType::PasswordReset];
        let now = Timestamp::UNIX_EPOCH;
        for texts in self.texts.iter() {
            for subject in types.into_iter().filter_map(sample) {
                let account = BareJid::from_parts(None, &subject.invite.host);
                for devices in [&[][..], &[Device::Android], &[Device::Windows], &[Device::MacOs, Device::Ios]] {
                    let reader =
                        Reader { texts, browser: Browser { devices, in_app: !devices.is_empty() }, at_old_path: false };
                    self.landing(reader, &subject)?;
                    self.apps(reader, &subject, false)?;
                    self.apps(reader, &subject, true)?;
                    for (finished, password) in [(true, Password::Typed), (false, Password::Offered("x"))] {
                        let registered = Registered { account: account.clone(), finished };
                        self.done(reader, &subject, &registered, password, Some(&subject.invite.host))?;
                    }
                }
                let reader = Reader { texts, browser: Browser::default(), at_old_path: false };
                let mut correction = Correction::of_field("username", texts.web.username_missing.clone());
                correction.suggestions = vec!["user2".to_owned()];
                let kinds = [Kind::TextSingle, Kind::TextMulti, Kind::ListSingle, Kind::Boolean, Kind::Fixed];
                let asked = kinds.map(|kind| Field { kind, var: "email".to_owned(), ..Field::default() }).to_vec();
                let fields = Fields { asked, ..Fields::default() };
                self.form(reader, &subject, &fields, None)?;
                self.form(reader, &subject, &fields, Some(&correction))?;
                let host = &subject.invite.host;
                self.notice(reader, &Refusal::UsedUp.into(), Some(&subject), &[host], now)?;
                self.notice(reader, &Refusal::InProgress.into(), Some(&subject), &[], now)?;
                self.notice(reader, &Notice::NoPage, None, &[], now)?;
            }
        }
        Ok(())
    }
}

/// What templates know about the reader's device: what it may be, whether it is certainly a phone
/// or a tablet, and whether the browser is a part of another app.
fn device(reader: Reader<'_>) -> Value {
    let Browser { devices, in_app } = reader.browser;
    context! { may_be => data(devices), mobile => reader.browser.is_mobile(), in_app }
}

/// An invite to try the templates with.
fn sample(invite_type: InviteType) -> Option<Subject> {
    let (policy, now) = (HostPolicy::default(), Timestamp::UNIX_EPOCH);
    let user = BareJid::new("user@example.org").ok()?;
    let token = Token::parse(SAMPLE_TOKEN)?;
    let mut wish = Wish::new(invite_type, user.domain().to_owned(), Issuer::Operator);
    wish.username = user.node().filter(|_| invite_type == InviteType::PasswordReset).map(ToOwned::to_owned);
    wish.inviter = Some(user);
    let invite = wish.into_invite(&policy, InviteId::parse("abcdefgh2345")?, token.hash(), now).ok()?;
    let purpose = policy::purpose(&invite, now).ok();
    Some(Subject { invite, token, purpose })
}

/// The QR code of a text; nothing if the text is too long for one, which none of our links is.
fn svg(text: &str) -> String {
    qr::svg(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::web::{About, Colour};

    fn branding(folder: &Path) -> Branding {
        Branding { templates: Some(folder.to_owned()), ..Branding::default() }
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
        let problem = Pages::load(branding(folder.path()), url()).unwrap_err().to_string();
        problem.strip_prefix(&format!("{}/", folder.path().display())).unwrap().to_owned()
    }

    fn landing(pages: &Pages, language: &str, invite_type: InviteType) -> String {
        let browser = Browser { devices: &[Device::Android], in_app: false };
        let reader = Reader { texts: pages.texts(language), browser, at_old_path: false };
        pages.landing(reader, &sample(invite_type).unwrap()).unwrap().html
    }

    #[test]
    fn every_page_can_be_made_in_every_language() {
        Pages::load(Branding::default(), url()).unwrap().try_all().unwrap();
    }

    #[test]
    fn what_the_operator_has_takes_the_place_of_what_is_built_in() {
        let english = include_str!("../../languages/en.toml");
        let other = english.replace("invites you to chat", "marhaba").replace("\"ltr\"", "\"rtl\"");
        let folder = folder_with(&[
            ("style.css", "body{color:red}"),
            ("languages/fa.toml", &other),
            ("notice.html", "{% extends \"layout.html\" %}{% block content %}Ours{% endblock %}"),
            (
                "apps.toml",
                "[[app]]\nname = \"Own\"\non = [\"android\"]\ninvites = true\nicon = \"own.svg\"\n\
                           get = [{ from = \"us\", url = \"https://example.org/own\" }]",
            ),
            ("own.svg", "<svg/>"),
            ("icon.png", "ours"),
        ]);
        let accent = Colour::parse("#ffd200");
        let about = Some(About::ForAll("It is <ours>.".into()));
        let name = Some("<Our chat>".into());
        let pages = Pages::load(Branding { accent, about, name, ..branding(folder.path()) }, url()).unwrap();
        let page = landing(&pages, "fa-IR", InviteType::AccountAndContact);
        for part in [
            "<html lang=\"fa\" dir=\"rtl\">",
            "<style>body{color:red}:root{--accent:#ffd200;--on-accent:#000;--edge:",
            "<b><bdi>&lt;Our chat&gt;</bdi></b><br>\nIt is &lt;ours&gt;.",
            "<img class=\"tile\" width=\"40\" height=\"40\" alt=\"\" src=\"data:image/svg+xml;base64,PHN2Zy8+\">",
            "<bdi dir=\"ltr\">user@example.org</bdi> marhaba",
            "https:&#x2f;&#x2f;example.org&#x2f;own",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(pages.icon().bytes, b"ours");
        let reader = Reader { texts: Texts::english(), browser: Browser::default(), at_old_path: false };
        let notice = pages.notice(reader, &Refusal::Unknown.into(), None, &[], Timestamp::UNIX_EPOCH).unwrap();
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
    fn an_icon_that_would_make_pages_large_is_refused() {
        let apps = "[[app]]\nname = \"A\"\non = [\"ios\"]\ninvites = true\nicon = \"a.png\"\n\
                    get = [{ from = \"a\", url = \"https://a\" }]";
        assert_eq!(problem(&[("apps.toml", apps), ("a.png", &"x".repeat(3073))]), "a.png: longer than 3072 bytes");
        assert_eq!(problem(&[("apps.toml", apps)]), "a.png: there is no such file");
    }

    #[test]
    fn names_are_text_and_never_markup() {
        let pages = Pages::load(Branding::default(), url()).unwrap();
        let mut subject = sample(InviteType::Contact).unwrap();
        subject.invite.inviter = Some(BareJid::new("a$%!;{host}=x@example.org").unwrap());
        let reader = Reader { texts: pages.texts("en"), browser: Browser::default(), at_old_path: false };
        let page = pages.landing(reader, &subject).unwrap().html;
        assert!(page.contains("<bdi dir=\"ltr\">a$%!;{host}=x@example.org</bdi>"), "{page}");
        let fields = Fields { username: "\"><script>alert(1)</script>".into(), ..Fields::default() };
        let correction = Correction::of_field("username", fields.username.clone());
        let subject = Subject { purpose: Some(Purpose::Register), ..subject };
        let page = pages.form(reader, &subject, &fields, Some(&correction));
        let page = page.unwrap().html;
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn the_preview_of_a_link_does_not_hold_its_token() {
        let pages = Pages::load(Branding::default(), url()).unwrap();
        let page = landing(&pages, "en", InviteType::AccountAndContact);
        let metas: Vec<&str> =
            page.lines().filter(|line| line.starts_with("<meta") || line.starts_with("<title")).collect();
        assert!(metas.iter().any(|line| line.contains("og:title") && line.contains("user@example.org invites you")));
        assert!(metas.iter().all(|line| !line.contains(SAMPLE_TOKEN)), "{metas:?}");
    }
}
