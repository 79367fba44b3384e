//! The paths of the pages. Requests become calls of the service, and their outcomes become pages.

use std::future::ready;
use std::net::SocketAddr;
use std::num::NonZero;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::{ExtensionRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use ipnet::IpNet;
use jid::DomainPart;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::apps::Device;
use super::forms::{self, Correction, Fields};
use super::notices::Notice;
use super::pages::{Page, Pages, Password, Reader, Subject};
use super::response;
use super::visitor::{Visitor, form_cookie};
use crate::fields::Field;
use crate::invite::{self, Purpose, Token};
use crate::invites::{Error, Invites, Registered};
use crate::limits::WebRequest;
use crate::links::{OldPath, PublicUrl, Reading, read, tokens_in, tokens_of_old_link};
use crate::password;
use crate::refusal::Refusal;

/// The longest body of a request: a username, two passwords and some lines of text.
const BODY_BYTES: usize = 8 * 1024;

/// How long a client may take to send the body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// What serves the pages. Cheap to clone.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    invites: Invites,
    pages: Pages,
    also: Vec<OldPath>,
    trusted_proxies: Vec<IpNet>,
    /// A permit for each page that may be rendered at a time.
    renderers: Semaphore,
}

/// Why the response is not the page that was asked for.
enum Otherwise {
    /// A page that says why, about an invite if one was found.
    Notice(Notice, Option<Box<Subject>>),
    /// The right page is at this path.
    Redirect(String),
    /// A template has failed.
    Broken(minijinja::Error),
}

impl From<minijinja::Error> for Otherwise {
    fn from(error: minijinja::Error) -> Self {
        Otherwise::Broken(error)
    }
}

impl<N: Into<Notice>> From<N> for Otherwise {
    fn from(notice: N) -> Self {
        Otherwise::Notice(notice.into(), None)
    }
}

impl Otherwise {
    fn about(notice: impl Into<Notice>, subject: Subject) -> Otherwise {
        Otherwise::Notice(notice.into(), Some(Box::new(subject)))
    }
}

type Outcome<T> = Result<T, Otherwise>;

impl Site {
    /// Serves these pages, also at the paths of old links.
    pub fn new(invites: Invites, pages: Pages, also: Vec<OldPath>, trusted_proxies: Vec<IpNet>) -> Site {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let renderers = Semaphore::new(processors.saturating_sub(1).max(1));
        Site(Arc::new(Inner { invites, pages, also, trusted_proxies, renderers }))
    }
}

/// A request: who sends it, and for which invite.
struct Visit {
    site: Arc<Inner>,
    visitor: Visitor,
    /// The tokens that the path may contain. None if the token is cut off, or the path is not
    /// UTF-8.
    tokens: Vec<Token>,
    /// The path is that of an old link.
    at_old_path: bool,
}

impl FromRequestParts<Site> for Visit {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, Site(site): &Site) -> Result<Self, ExtensionRejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, site).await?;
        let visitor = Visitor::new(peer.ip(), &parts.headers, &site.trusted_proxies, site.pages.public_url());
        let token = Path::<String>::from_request_parts(parts, site).await.ok();
        let tokens = token.map(|Path(text)| tokens_in(&format!("/i/{text}"))).unwrap_or_default();
        Ok(Visit { site: site.clone(), visitor, tokens, at_old_path: false })
    }
}

/// The query of the page with the apps.
#[derive(Default, Deserialize)]
struct AppsQuery {
    /// The device that the apps are for.
    on: Option<String>,
    /// `account`: the visitor has an account and wants to log in.
    have: Option<String>,
}

impl Visit {
    fn reader(&self) -> Reader<'_> {
        let texts = self.site.pages.texts(&self.visitor.languages);
        Reader { texts, browser: self.visitor.browser, at_old_path: self.at_old_path }
    }

    /// Renders a page. Meanwhile, other threads run the tasks that answer the chat server, and one
    /// processor is kept free for these.
    async fn render<T>(&self, page: impl FnOnce(&Pages) -> T) -> T {
        let _permit = self.site.renderers.acquire().await;
        tokio::task::block_in_place(|| page(&self.site.pages))
    }

    /// The invite of the link, whatever its state.
    async fn find(&self) -> Outcome<Subject> {
        let (invite, token) = self.site.invites.look_up(&self.tokens, self.visitor.address.into()).await?;
        Ok(Subject { invite, token, purpose: None })
    }

    /// The same with what the invite can be used for now, if it can be used.
    async fn usable(&self, found: Subject) -> Outcome<Subject> {
        match self.site.invites.purpose(&found.invite).await {
            Ok(purpose) => Ok(Subject { purpose: Some(purpose), ..found }),
            Err(refusal) => Err(Otherwise::about(refusal, found)),
        }
    }

    async fn landing(&self) -> Outcome<Page> {
        let subject = self.usable(self.find().await?).await?;
        Ok(self.render(|pages| pages.landing(self.reader(), &subject)).await?)
    }

    async fn apps(&self, wanted: &AppsQuery) -> Outcome<Page> {
        let found = self.find().await?;
        let logging_in = wanted.have.as_deref() == Some("account");
        // A visitor with an account may read how to log in, even if the invite has ended.
        let subject = match self.usable(found.clone()).await {
            Err(_) if logging_in => found,
            usable => usable?,
        };
        let chosen = wanted.on.as_deref().and_then(Device::parse);
        let mut reader = self.reader();
        if let Some(chosen) = &chosen {
            reader.browser.devices = slice::from_ref(chosen);
        }
        Ok(self.render(|pages| pages.apps(reader, &subject, logging_in)).await?)
    }

    /// The invite that a form is for; a redirect if the invite has another form or none. If the
    /// form is `sent`, it may be for the second time and have used up the invite itself, so an
    /// invite that has ended is accepted.
    async fn for_form(&self, form: Purpose, sent: bool) -> Outcome<Subject> {
        let subject = match self.usable(self.find().await?).await {
            Err(Otherwise::Notice(notice, Some(ended))) if sent && notice.is_end() => {
                Subject { purpose: Some(form), ..*ended }
            }
            usable => usable?,
        };
        let page = match subject.purpose {
            Some(purpose) if purpose == form => return Ok(subject),
            Some(Purpose::Register) => "/register",
            Some(Purpose::Reset) => "/reset",
            _ => "",
        };
        Err(Otherwise::Redirect(self.site.pages.link(self.reader(), &subject.token, page)))
    }

    /// The fields that the chat server asks for, besides a username and a password.
    fn asked(&self, subject: &Subject) -> Vec<Field> {
        match subject.purpose {
            Some(Purpose::Register) => self.site.invites.registration_fields(&subject.invite.host),
            _ => Vec::new(),
        }
    }

    async fn show_form(&self, purpose: Purpose) -> Outcome<Page> {
        let subject = self.for_form(purpose, false).await?;
        let (form, cookie) = match self.visitor.form() {
            Some(form) => (form.to_owned(), None),
            None => {
                let form = Token::generate()?.reveal().to_owned();
                let cookie = form_cookie(&form, None, self.site.pages.public_url());
                (form, Some(cookie))
            }
        };
        let asked = self.asked(&subject);
        let fields = Fields { form, offered: password::make()?, asked, ..Fields::default() };
        let page = self.render(|pages| pages.form(self.reader(), &subject, &fields, None)).await?;
        Ok(Page { cookie, ..page })
    }

    async fn take_form(&self, purpose: Purpose, body: Body) -> Outcome<Page> {
        let body = tokio::time::timeout(BODY_PATIENCE, to_bytes(body, BODY_BYTES)).await;
        let body = body.map_err(|_| Notice::TooSlow)?.map_err(|_| Notice::TooLarge)?;
        let subject = self.for_form(purpose, true).await?;
        let mut fields = Fields::read(&body, subject.invite.host.as_str());
        if !self.visitor.was_shown(&fields.form) {
            return Err(Otherwise::about(Notice::Forged, subject));
        }
        fields.asked = self.asked(&subject);
        let reader = self.reader();
        let correction = match fields.registration(&subject.invite, &subject.token, self.visitor.address, reader.texts)
        {
            Err(correction) => correction,
            Ok(registration) => match self.site.invites.register(registration.clone()).await {
                Ok(registered) => return self.done(&subject, &fields, &registration.form, &registered).await,
                Err(error) => self.to_correct(error, &subject, &fields).await?,
            },
        };
        fields.offered = fields.offered_again()?;
        Ok(self.render(|pages| pages.form(reader, &subject, &fields, Some(&correction))).await?)
    }

    /// The page after the registration of this name (`BrowserRegistration::form`). The offered
    /// password is shown until the browser has received a page with it, and returns its cookie: a
    /// form may be sent twice, and the first response may be lost.
    async fn done(&self, subject: &Subject, fields: &Fields, name: &str, registered: &Registered) -> Outcome<Page> {
        let password = match fields.takes_offered() {
            false => Password::Typed,
            true if self.visitor.has_seen(name) => Password::Seen,
            true => Password::Offered(&fields.offered),
        };
        let policy = self.site.invites.policy(subject.invite.host.as_str());
        let may_invite = subject.purpose != Some(Purpose::Reset)
            && policy.is_ok_and(|(_, policy)| policy.lets_newcomers_invite(&subject.invite.roles));
        let service = may_invite.then_some(&self.site.invites.settings().component);
        let page = self.render(|pages| pages.done(self.reader(), subject, registered, password, service)).await?;
        let shown = matches!(password, Password::Offered(_));
        let cookie = shown.then(|| form_cookie(&fields.form, Some(name), self.site.pages.public_url()));
        Ok(Page { cookie, ..page })
    }

    /// What has to be corrected in a form after an error, with free usernames if the wanted one is
    /// taken.
    async fn to_correct(&self, error: Error, subject: &Subject, fields: &Fields) -> Outcome<Correction> {
        use Refusal::{UsernameRefused, UsernameReserved, UsernameTaken};
        let taken = matches!(error, Error::Refused(UsernameTaken | UsernameReserved | UsernameRefused(..)));
        let correction = Correction::of(error, &subject.invite, fields, self.reader().texts)
            .map_err(|error| Otherwise::about(error, subject.clone()))?;
        let free = match invite::username(&fields.username) {
            Ok(username) if taken => self.site.invites.suggest_usernames(&subject.invite.host, &username).await,
            _ => Vec::new(),
        };
        Ok(Correction {
            suggestions: free.into_iter().filter(forms::fits).map(|username| username.to_string()).collect(),
            ..correction
        })
    }

    /// The hosts where the reader of a notice can register without an invite, if the link is of no
    /// use any more. For an unknown link, whose host nobody knows, these are all open hosts.
    fn open_hosts(&self, notice: &Notice, subject: Option<&Subject>) -> Vec<&DomainPart> {
        let may_be_of =
            |host: &DomainPart| subject.is_none_or(|it| it.invite.invite_type.registers() && it.invite.host == *host);
        let open = self.site.invites.open_hosts().filter(|host| notice.is_of_dead_link() && may_be_of(host));
        open.collect()
    }

    /// The page that was asked for, or the response in its place.
    async fn respond(&self, outcome: Outcome<Page>) -> Response {
        let reader = self.reader();
        let page = match outcome {
            Ok(page) => Ok(page),
            Err(Otherwise::Redirect(to)) => return Redirect::to(&to).into_response(),
            Err(Otherwise::Notice(notice, subject)) => {
                let now = self.site.invites.now();
                let open = self.open_hosts(&notice, subject.as_deref());
                self.render(|pages| pages.notice(reader, &notice, subject.as_deref(), &open, now)).await
            }
            Err(Otherwise::Broken(error)) => Err(error),
        };
        match page {
            Ok(page) => response::page(page, &reader.texts.code),
            Err(error) => {
                tracing::error!(%error, "a page cannot be shown");
                (StatusCode::INTERNAL_SERVER_ERROR, reader.texts.failure.broken.clone()).into_response()
            }
        }
    }

    async fn refuse(self, notice: Notice) -> Response {
        self.respond(Err(notice.into())).await
    }
}

/// All pages, with the path of the public URL and without it, since some proxies strip it.
///
/// Every request is counted before anything else is done with it, even if there is no such page: a
/// form that is sent counts as a form, anything else as a page.
pub fn router(site: Site) -> Router {
    let counted_as = |kind: WebRequest| {
        from_fn_with_state(site.clone(), move |visit: Visit, request: Request, next: Next| async move {
            match visit.site.invites.admit_request(kind, visit.visitor.address.into()) {
                Ok(()) => next.run(request).await,
                Err(again_at) => visit.refuse(Refusal::AddressRefused { again_at }.into()).await,
            }
        })
    };
    let show = |form| get(async move |visit: Visit| visit.respond(visit.show_form(form).await).await);
    let take =
        |form| post(async move |visit: Visit, body: Body| visit.respond(visit.take_form(form, body).await).await);
    let landing = get(async |visit: Visit| visit.respond(visit.landing().await).await);
    let pages = Router::new()
        .route("/i", landing.clone())
        .route("/i/", landing.clone())
        .route("/i/{token}", landing.clone())
        .route("/i/{token}/", landing)
        .route("/i/{token}/apps", get(apps))
        .route("/i/{token}/register", show(Purpose::Register))
        .route("/i/{token}/reset", show(Purpose::Reset))
        .route("/logo", get(logo))
        .route("/icon.png", get(async |visit: Visit| response::image(visit.site.pages.icon())))
        .method_not_allowed_fallback(async |visit: Visit| visit.refuse(Notice::WrongMethod).await)
        .fallback(old_link)
        .layer(counted_as(WebRequest::Page));
    let forms = Router::new()
        .route("/i/{token}/register", take(Purpose::Register))
        .route("/i/{token}/reset", take(Purpose::Reset))
        .layer(counted_as(WebRequest::Form));
    let all = pages.merge(forms);
    let path = site.0.pages.public_url().path();
    let all = if path.is_empty() { all } else { all.clone().nest(path, all) };
    let origin = (!site.0.also.is_empty()).then(|| site.0.pages.public_url().origin());
    let headers = response::headers(&site.0.pages.style_hash(), origin.as_deref());
    all.layer(map_response(move |response: Response| ready(response::with(&headers, response)))).with_state(site)
}

/// Whether a path of old links is that of a page, or below one.
pub fn has_page_at(path: &OldPath, public_url: &PublicUrl) -> bool {
    let at_root = ["/i", "/logo", "/icon.png"];
    at_root.iter().any(|page| path.is_within(page) || path.is_within(&format!("{}{page}", public_url.path())))
}

/// Corrects a link that a program has altered: its path becomes that of the page that was meant. A
/// redirect would not do, since an app that scans a QR code asks only for the headers, and follows
/// no redirects.
pub fn correct_uri(uri: &mut Uri) {
    let Some((before, link)) = uri.path().split_once("/i/") else { return };
    let Some(Reading { text, rest, .. }) = read(&format!("/i/{link}")) else { return };
    let token = utf8_percent_encode(text.trim_start_matches("/i/"), NON_ALPHANUMERIC);
    // A proxy that strips a part of the path may leave a slash too many.
    let before = before.split('/').filter(|part| !part.is_empty()).fold(String::new(), |path, part| path + "/" + part);
    let is_separator = |c: char| !c.is_ascii_alphanumeric();
    let rest = rest.split("</").next().unwrap_or_default(); // the end of an element of HTML
    let page = rest.trim_start_matches(|c| is_separator(c) && c != '/').strip_prefix('/').unwrap_or_default();
    let page = page.trim_start_matches('/').split(is_separator).next().filter(|page| !page.is_empty());
    let page = page.map(|page| format!("/{page}")).unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(corrected) = Uri::try_from(format!("{before}/i/{token}{page}{query}")) {
        *uri = corrected;
    }
}

/// The page of the invite of an old link. At all other paths, there is no page.
async fn old_link(visit: Visit, method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    match tokens_of_old_link(&visit.site.also, address) {
        Some(tokens) if matches!(method, Method::GET | Method::HEAD) => {
            let visit = Visit { tokens, at_old_path: true, ..visit };
            visit.respond(visit.landing().await).await
        }
        _ => visit.refuse(Notice::NoPage).await,
    }
}

async fn apps(visit: Visit, wanted: Result<Query<AppsQuery>, QueryRejection>) -> Response {
    let wanted = wanted.map(|Query(wanted)| wanted).unwrap_or_default();
    visit.respond(visit.apps(&wanted).await).await
}

async fn logo(visit: Visit) -> Response {
    match visit.site.pages.logo() {
        Some(logo) => response::image(logo),
        None => visit.refuse(Notice::NoPage).await,
    }
}
