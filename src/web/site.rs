//! Who asks for what: requests become calls of the service, and outcomes become pages.

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ipnet::IpNet;
use jid::NodePart;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use url::form_urlencoded;

use super::address::client_address;
use super::apps::Device;
use super::pages::{Filled, Kind, Notice, Page, Pages, Reader, Subject, Wrong};
use super::{Config, password};
use crate::invite::{self, Invite, Purpose, Token};
use crate::invites::{BrowserRegistration, Error, Invites};
use crate::limits::{Address, WebRequest};
use crate::links::PublicUrl;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::texts::Texts;

/// The longest body of a request: a username and two passwords, with every byte escaped.
const BODY_BYTES: usize = 8 * 1024;

/// How long a client may take to send it.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// The cookie that has to come back with a form: another site cannot send it along.
const FORM_COOKIE: &str = "easy-invite-form";

/// The longest username, as chat servers name files after it (bytes, with most characters escaped).
const LONGEST_FILE_NAME: usize = 200;

/// How long browsers keep the logo, in seconds.
const LOGO_LIFE: u32 = 60 * 60;

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The web side of the service. Cheap to clone.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    invites: Invites,
    pages: Pages,
    public_url: PublicUrl,
    trusted_proxies: Vec<IpNet>,
    security_policy: HeaderValue,
    /// How many pages may be made at a time.
    turns: Semaphore,
}

/// Somebody who asks for a page.
struct Visitor {
    /// Where they connect from, where that is known.
    address: Option<IpAddr>,
    /// They send something.
    posts: bool,
    headers: HeaderMap,
}

/// Why there is another page than the one that was asked for.
enum Otherwise {
    /// A page that says why.
    Notice(Notice, Option<Box<(Invite, Token)>>),
    /// The page that was meant.
    Redirect(String),
    /// A template has failed.
    Broken(minijinja::Error),
}

impl From<minijinja::Error> for Otherwise {
    fn from(error: minijinja::Error) -> Self {
        Otherwise::Broken(error)
    }
}

type Outcome<T> = Result<T, Otherwise>;

impl Site {
    /// The web side, with these pages.
    pub fn new(invites: Invites, pages: Pages, config: &Config) -> Site {
        // The style has its hash; scripts, frames and everything from elsewhere have no place here.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
            pages.style_hash()
        );
        let security_policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let (public_url, trusted_proxies) = (config.public_url.clone(), config.trusted_proxies.clone());
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Semaphore::new(processors.saturating_sub(1).max(1));
        Site(Arc::new(Inner { invites, pages, public_url, trusted_proxies, security_policy, turns }))
    }

    fn reader(&self, visitor: &Visitor) -> Reader<'_> {
        Reader { texts: self.texts(visitor), device: visitor.device() }
    }

    /// Makes a page: so many at a time that there is a processor left, and away from the threads on which the chat server
    /// is answered.
    async fn make<T>(&self, page: impl FnOnce(&Pages) -> T) -> T {
        let _turn = self.0.turns.acquire().await;
        tokio::task::block_in_place(|| page(&self.0.pages))
    }

    fn texts(&self, visitor: &Visitor) -> &Texts {
        self.0.pages.languages().preferred(visitor.header(header::ACCEPT_LANGUAGE))
    }

    /// Counts a request.
    fn admit(&self, visitor: &Visitor, request: WebRequest) -> Outcome<()> {
        let Some(address) = visitor.address else { return Ok(()) };
        let refused = |until| Otherwise::Notice(Notice::TooMany(until), None);
        self.0.invites.admit_request(request, Address::from(address)).map_err(refused)
    }

    /// The invite of a link, whatever its state.
    async fn invite(&self, visitor: &Visitor, token: &str) -> Outcome<(Invite, Token)> {
        let token = Token::parse(token);
        let looked = self.0.invites.look(token.as_ref(), visitor.address.map(Address::from)).await;
        let invite = looked.map_err(|error| notice_of(error, None))?;
        // What can be none is found nowhere.
        token.map(|token| (invite, token)).ok_or(Otherwise::Notice(Notice::Unknown, None))
    }

    /// What an invite does for whoever opens it now.
    fn kind(&self, invite: &Invite, token: &Token) -> Outcome<Kind> {
        let of = || Some((invite.clone(), token.clone()));
        match self.0.invites.purpose(invite) {
            Ok(Purpose::Register) => Ok(Kind::Register),
            Ok(Purpose::Reset) => Ok(Kind::Reset),
            Ok(Purpose::Contact) => Ok(Kind::Contact),
            Err(refusal) => Err(notice_of(refusal.into(), of())),
        }
    }

    async fn landing(&self, visitor: &Visitor, token: &str) -> Outcome<Page> {
        let (invite, token) = self.invite(visitor, token).await?;
        let kind = self.kind(&invite, &token)?;
        let subject = Subject { invite: &invite, token: &token, kind };
        Ok(self.make(|pages| pages.landing(self.reader(visitor), subject)).await?)
    }

    async fn apps(&self, visitor: &Visitor, token: &str, wish: &AppsWish) -> Outcome<Page> {
        let (invite, token) = self.invite(visitor, token).await?;
        let logging_in = wish.have.as_deref() == Some("account");
        let kind = match self.kind(&invite, &token) {
            Ok(kind) => kind,
            // Whoever has an account wants to know how to log in, whatever has become of the invite.
            Err(_) if logging_in => Kind::Contact,
            Err(ended) => return Err(ended),
        };
        let chosen = wish.on.as_deref().and_then(Device::parse);
        let reader = Reader { device: chosen.or(visitor.device()), ..self.reader(visitor) };
        let subject = Subject { invite: &invite, token: &token, kind };
        Ok(self.make(|pages| pages.apps(reader, subject, logging_in)).await?)
    }

    /// The invite that a form is for; the page that was meant if it is not for this form.
    async fn for_form(&self, visitor: &Visitor, token: &str, form: Kind) -> Outcome<(Invite, Token)> {
        let (invite, token) = self.invite(visitor, token).await?;
        let kind = match self.kind(&invite, &token) {
            // One that has ended may have been used by this very form before.
            Err(Otherwise::Notice(Notice::UsedUp | Notice::Expired | Notice::Revoked, _)) if visitor.posts => form,
            kind => kind?,
        };
        let base = format!("{}/i/{}", self.0.public_url.path(), token.reveal());
        match kind {
            _ if kind == form => Ok((invite, token)),
            Kind::Register => Err(Otherwise::Redirect(format!("{base}/register"))),
            Kind::Reset => Err(Otherwise::Redirect(format!("{base}/reset"))),
            Kind::Contact => Err(Otherwise::Redirect(base)),
        }
    }

    async fn show_form(&self, visitor: &Visitor, token: &str, kind: Kind) -> Outcome<(Page, Option<HeaderValue>)> {
        let (invite, token) = self.for_form(visitor, token, kind).await?;
        let (form, cookie) = match visitor.form_cookie() {
            Some(form) => (form, None),
            None => {
                let form = Token::generate().map_err(|error| notice_of(error.into(), None))?.reveal().to_owned();
                let cookie = self.cookie(&form);
                (form, Some(cookie))
            }
        };
        let made = password::make().map_err(|error| notice_of(error.into(), None))?;
        let filled = Filled { form, made, ..Filled::default() };
        let subject = Subject { invite: &invite, token: &token, kind };
        Ok((self.make(|pages| pages.form(self.reader(visitor), subject, &filled)).await?, cookie))
    }

    fn cookie(&self, form: &str) -> HeaderValue {
        let secure = if self.0.public_url.is_https() { "; Secure" } else { "" };
        let path = self.0.public_url.path();
        let cookie = format!("{FORM_COOKIE}={form}; Path={path}/; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
    }

    async fn take_form(&self, visitor: &Visitor, token: &str, kind: Kind, body: Bytes) -> Outcome<Page> {
        let (invite, token) = self.for_form(visitor, token, kind).await?;
        let sent = Sent::read(&body, &invite);
        if !visitor.sent_from_our_form(&sent.form) {
            return Err(Otherwise::Notice(Notice::Forged, Some(Box::new((invite, token)))));
        }
        let subject = Subject { invite: &invite, token: &token, kind };
        let reader = self.reader(visitor);
        let (wrong, suggestions) = match self.carry_out(visitor, subject, &sent).await {
            Ok(account) => return Ok(self.make(|pages| pages.done(reader, subject, &account)).await?),
            Err(NotDone::Otherwise(otherwise)) => return Err(otherwise),
            Err(NotDone::Wrong(wrong, suggestions)) => (wrong, suggestions),
        };
        let made = match password::is_made(&sent.made) {
            // Whoever has noted it down is not to be given another one.
            true if sent.made_chosen => sent.made,
            _ => password::make().map_err(|error| notice_of(error.into(), None))?,
        };
        let Sent { username, made_chosen, form, .. } = sent;
        let filled = Filled { username, made_chosen, made, form, wrong: Some(wrong), suggestions };
        Ok(self.make(|pages| pages.form(reader, subject, &filled)).await?)
    }

    /// Makes the account, or sets the password; returns the account.
    async fn carry_out(&self, visitor: &Visitor, subject: Subject<'_>, sent: &Sent) -> Result<String, NotDone> {
        let wrong = |wrong| Err(NotDone::Wrong(wrong, Vec::new()));
        let (invite, token) = (subject.invite, subject.token);
        let chosen = match &invite.username {
            Some(username) => username.clone(),
            None if sent.username.is_empty() => return wrong(Wrong::UsernameMissing),
            None => match invite::username(&sent.username) {
                Ok(username) if file_name_bytes(&username) > LONGEST_FILE_NAME => {
                    return wrong(Wrong::Username(Refusal::InvalidUsername(username.to_string())));
                }
                Ok(username) => username,
                Err(refusal) => return wrong(Wrong::Username(refusal)),
            },
        };
        let secret = if sent.made_chosen { &sent.made } else { &sent.password };
        if let Err(problem) = password::check(secret, chosen.as_str()) {
            return wrong(Wrong::Password(problem));
        }
        // The same form with the same answers is the same registration, however often it is sent. The secrets in it keep
        // anybody from learning the password by trying.
        let mut name = Sha256::new();
        for part in [&sent.form, token.reveal(), chosen.as_str(), secret] {
            name.update(part.len().to_be_bytes());
            name.update(part);
        }
        let form = name.finalize().iter().take(16).fold("web-".to_owned(), |name, byte| name + &format!("{byte:02x}"));
        let registered = self.0.invites.register(BrowserRegistration {
            token: token.clone(),
            username: Some(chosen.clone()),
            password: Secret::new(secret.clone()),
            form,
            address: visitor.address,
        });
        match registered.await {
            Ok(registered) => Ok(registered.account.to_string()),
            // There is nothing to correct in a name that is not asked for.
            Err(Error::Refused(
                refusal @ (Refusal::UsernameTaken | Refusal::UsernameReserved | Refusal::InvalidUsername(_)),
            )) if invite.username.is_some() => {
                let of = Some(Box::new((invite.clone(), token.clone())));
                Err(NotDone::Otherwise(Otherwise::Notice(Notice::Refused(refusal), of)))
            }
            Err(Error::Refused(refusal @ (Refusal::UsernameTaken | Refusal::UsernameReserved))) => {
                let free = self.0.invites.suggest_usernames(&invite.host, &chosen).await;
                let free = free.into_iter().map(|username| username.to_string()).collect();
                Err(NotDone::Wrong(Wrong::Username(refusal), free))
            }
            Err(Error::Refused(refusal @ (Refusal::InvalidUsername(_) | Refusal::WrongUsername))) => {
                wrong(Wrong::Username(refusal))
            }
            Err(Error::Refused(
                refusal @ (Refusal::PasswordRefused(_)
                | Refusal::RegistrationLimited(_)
                | Refusal::RegistrationRefused(_)),
            )) => wrong(Wrong::Refused(refusal)),
            // To send the same form again tells what became of it: it stays, with the password that was noted down.
            Err(Error::Refused(Refusal::InProgress)) => wrong(Wrong::Later { busy: true }),
            Err(error @ (Error::Store(_) | Error::Unreachable(_))) => {
                tracing::error!(%error, "a form could not be taken");
                wrong(Wrong::Later { busy: false })
            }
            Err(error) => Err(NotDone::Otherwise(notice_of(error, Some((invite.clone(), token.clone()))))),
        }
    }

    /// What is sent: the page that was asked for, or the one that says why not.
    async fn respond(&self, visitor: &Visitor, outcome: Outcome<(Page, Option<HeaderValue>)>) -> Response {
        let (page, cookie) = match outcome {
            Ok(page) => page,
            Err(Otherwise::Redirect(to)) => {
                let to = HeaderValue::from_str(&to).unwrap_or(HeaderValue::from_static("/"));
                return (StatusCode::SEE_OTHER, self.usual_headers(), [(header::LOCATION, to)]).into_response();
            }
            Err(Otherwise::Notice(notice, of)) => {
                let of = of.as_deref().map(|(invite, token)| (invite, token));
                let (reader, now) = (self.reader(visitor), self.0.invites.now());
                match self.make(|pages| pages.notice(reader, &notice, of, now)).await {
                    Ok(page) => (page, None),
                    Err(error) => return self.broken(visitor, &error),
                }
            }
            Err(Otherwise::Broken(error)) => return self.broken(visitor, &error),
        };
        let mut headers = self.usual_headers();
        let mut set = |name: HeaderName, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        };
        set(header::CONTENT_LANGUAGE, Some(self.texts(visitor).code.clone()));
        set(header::LINK, page.alternate.map(|uri| format!("<{uri}>; rel=\"alternate\"")));
        set(header::RETRY_AFTER, page.retry_after.map(|seconds| seconds.to_string()));
        if let Some(cookie) = cookie {
            headers.insert(header::SET_COOKIE, cookie);
        }
        (page.status, headers, page.html).into_response()
    }

    /// In plain words, where the templates fail.
    fn broken(&self, visitor: &Visitor, error: &minijinja::Error) -> Response {
        tracing::error!(%error, "a page cannot be shown");
        let mut headers = self.usual_headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        (StatusCode::INTERNAL_SERVER_ERROR, headers, self.texts(visitor).web.failed_text.clone()).into_response()
    }

    fn usual_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::VARY, "Accept-Language, User-Agent"),
            (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            // Web clients may read the pages and their links: there is nothing in them that the token does not give.
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Link"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, self.0.security_policy.clone());
        headers
    }
}

/// Why a form has led to nothing.
enum NotDone {
    /// It has to be corrected; these usernames are free.
    Wrong(Wrong, Vec<String>),
    /// There is another page to show.
    Otherwise(Otherwise),
}

/// How long the name of a file is that a chat server names after an account.
fn file_name_bytes(username: &NodePart) -> usize {
    utf8_percent_encode(username.as_str(), NON_ALPHANUMERIC).map(str::len).sum()
}

/// What a form brings.
struct Sent {
    username: String,
    password: String,
    made: String,
    made_chosen: bool,
    form: String,
}

impl Sent {
    fn read(body: &[u8], invite: &Invite) -> Sent {
        let mut sent = Sent {
            username: String::new(),
            password: String::new(),
            made: String::new(),
            made_chosen: false,
            form: String::new(),
        };
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                // Some type the whole address.
                "username" => {
                    sent.username = match value.trim().rsplit_once('@') {
                        Some((username, host)) if host.eq_ignore_ascii_case(invite.host.as_str()) => {
                            username.to_owned()
                        }
                        _ => value.trim().to_owned(),
                    }
                }
                "password" => sent.password = value.into_owned(),
                "made" => sent.made = value.into_owned(),
                "choice" => sent.made_chosen = value == "made",
                "form" => sent.form = value.into_owned(),
                _ => (),
            }
        }
        sent
    }
}

/// The page for an error of the service.
fn notice_of(error: Error, of: Option<(Invite, Token)>) -> Otherwise {
    let notice = match error {
        Error::Refused(refusal) => match refusal {
            Refusal::Unknown | Refusal::UnknownHost(_) => Notice::Unknown,
            Refusal::Expired => Notice::Expired,
            Refusal::Revoked => Notice::Revoked,
            Refusal::UsedUp => Notice::UsedUp,
            Refusal::InProgress => Notice::Busy,
            Refusal::AddressRefused { again_at }
            | Refusal::TooManyUnknown { again_at }
            | Refusal::TooManyRegistrations { again_at }
            | Refusal::TooManyToday { again_at, .. }
            | Refusal::TooNew { again_at } => Notice::TooMany(again_at),
            refusal @ (Refusal::NotForRegistration
            | Refusal::InvitationOnly
            | Refusal::WrongUsername
            | Refusal::WrongResetUsername
            | Refusal::NoSuchAccount(_)
            | Refusal::UsernameTaken
            | Refusal::UsernameReserved
            | Refusal::InvalidUsername(_)
            | Refusal::PasswordRefused(_)
            | Refusal::RegistrationLimited(_)
            | Refusal::RegistrationRefused(_)
            | Refusal::NotAllowed
            | Refusal::TooManyPending { .. }
            | Refusal::Impossible(_)) => Notice::Refused(refusal),
        },
        error @ (Error::Store(_) | Error::Unreachable(_)) => {
            tracing::error!(%error, "a web request could not be fulfilled");
            Notice::Away
        }
        error @ Error::NoRandomness(_) => {
            tracing::error!(%error, "a web request could not be fulfilled");
            Notice::Failed
        }
    };
    Otherwise::Notice(notice, of.map(Box::new))
}

impl Visitor {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn device(&self) -> Option<Device> {
        Device::of_browser(self.header(header::USER_AGENT))
    }

    /// The secret of the form that this browser was shown.
    fn form_cookie(&self) -> Option<String> {
        let cookies = self.headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(name, _)| *name == FORM_COOKIE).map(|(_, value)| value)?;
        Token::parse(found).map(|form| form.reveal().to_owned())
    }

    /// Whether a form was shown by us to this very browser, and no other site has it send something in its user's name.
    fn sent_from_our_form(&self, form: &str) -> bool {
        let site = self.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        self.form_cookie().as_deref() == Some(form) && matches!(site, None | Some(b"same-origin" | b"none"))
    }
}

impl FromRequestParts<Site> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<Peer>();
        let address = peer.map(|Peer(peer)| client_address(*peer, &parts.headers, &site.0.trusted_proxies));
        Ok(Visitor { address, posts: parts.method == Method::POST, headers: parts.headers.clone() })
    }
}

/// What stands in the place of a token. Bytes that are no text are found nowhere, as other guesses.
struct Shown(String);

impl FromRequestParts<Site> for Shown {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        let token = Path::<String>::from_request_parts(parts, site).await;
        Ok(Shown(token.map(|Path(token)| token).unwrap_or_default()))
    }
}

/// What the page with the apps is asked for.
#[derive(Default, Deserialize)]
struct AppsWish {
    /// The device that the apps are for.
    on: Option<String>,
    /// "account": somebody who has an account wants to log in.
    have: Option<String>,
}

/// All pages, below the path of the public URL and, for proxies that take that path away, without it.
pub fn router(site: Site) -> Router {
    let pages = Router::new()
        .route("/i/{token}", get(landing))
        .route("/i/{token}/apps", get(apps))
        .route("/i/{token}/register", get(register).post(post_register))
        .route("/i/{token}/reset", get(reset).post(post_reset))
        .route("/logo", get(logo))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_page);
    let path = site.0.public_url.path().to_owned();
    let all = if path.is_empty() { pages } else { pages.clone().nest(&path, pages) };
    all.with_state(site)
}

async fn landing(State(site): State<Site>, visitor: Visitor, Shown(token): Shown) -> Response {
    let outcome = match site.admit(&visitor, WebRequest::Page) {
        Ok(()) => site.landing(&visitor, &token).await,
        Err(refused) => Err(refused),
    };
    site.respond(&visitor, outcome.map(|page| (page, None))).await
}

async fn apps(
    State(site): State<Site>,
    visitor: Visitor,
    Shown(token): Shown,
    wish: Result<Query<AppsWish>, QueryRejection>,
) -> Response {
    let wish = wish.map(|Query(wish)| wish).unwrap_or_default();
    let outcome = match site.admit(&visitor, WebRequest::Page) {
        Ok(()) => site.apps(&visitor, &token, &wish).await,
        Err(refused) => Err(refused),
    };
    site.respond(&visitor, outcome.map(|page| (page, None))).await
}

async fn register(State(site): State<Site>, visitor: Visitor, Shown(token): Shown) -> Response {
    get_form(&site, &visitor, &token, Kind::Register).await
}

async fn reset(State(site): State<Site>, visitor: Visitor, Shown(token): Shown) -> Response {
    get_form(&site, &visitor, &token, Kind::Reset).await
}

async fn get_form(site: &Site, visitor: &Visitor, token: &str, kind: Kind) -> Response {
    let outcome = match site.admit(visitor, WebRequest::Page) {
        Ok(()) => site.show_form(visitor, token, kind).await,
        Err(refused) => Err(refused),
    };
    site.respond(visitor, outcome).await
}

async fn post_register(State(site): State<Site>, visitor: Visitor, Shown(token): Shown, body: Body) -> Response {
    post_form(&site, &visitor, &token, Kind::Register, body).await
}

async fn post_reset(State(site): State<Site>, visitor: Visitor, Shown(token): Shown, body: Body) -> Response {
    post_form(&site, &visitor, &token, Kind::Reset, body).await
}

async fn post_form(site: &Site, visitor: &Visitor, token: &str, kind: Kind, body: Body) -> Response {
    let outcome = match site.admit(visitor, WebRequest::Form) {
        Ok(()) => match tokio::time::timeout(BODY_PATIENCE, to_bytes(body, BODY_BYTES)).await {
            Ok(Ok(body)) => site.take_form(visitor, token, kind, body).await,
            Ok(Err(_)) => Err(Otherwise::Notice(Notice::TooLarge, None)),
            Err(_) => Err(Otherwise::Notice(Notice::TooSlow, None)),
        },
        Err(refused) => Err(refused),
    };
    site.respond(visitor, outcome.map(|page| (page, None))).await
}

async fn logo(State(site): State<Site>, visitor: Visitor) -> Response {
    let Some(logo) = site.0.pages.logo() else { return no_page(State(site), visitor).await };
    let mut headers = site.usual_headers();
    let life = HeaderValue::from_str(&format!("public, max-age={LOGO_LIFE}"));
    headers.insert(header::CACHE_CONTROL, life.unwrap_or(HeaderValue::from_static("no-store")));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(logo.media_type));
    (headers, logo.image.clone()).into_response()
}

async fn no_page(State(site): State<Site>, visitor: Visitor) -> Response {
    site.respond(&visitor, Err(Otherwise::Notice(Notice::NoPage, None))).await
}

async fn wrong_method(State(site): State<Site>, visitor: Visitor) -> Response {
    site.respond(&visitor, Err(Otherwise::Notice(Notice::WrongMethod, None))).await
}
