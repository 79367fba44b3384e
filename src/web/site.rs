//! The pages that can be asked for: requests become calls of the service, outcomes become pages.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::{ExtensionRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use ipnet::IpNet;
use jid::NodePart;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::apps::Device;
use super::forms::{FormError, Sent};
use super::notices::Notice;
use super::pages::{Filled, Page, Pages, Reader, Subject};
use super::password;
use super::response::Responses;
use super::visitor::{Visitor, form_cookie};
use crate::invite::{Purpose, Token};
use crate::invites::{Error, Invites};
use crate::limits::{Address, WebRequest};
use crate::refusal::Refusal;

/// The longest body of a request: a username and two passwords, with every byte escaped.
const BODY_BYTES: usize = 8 * 1024;

/// How long a client may take to send it.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// The web side of the service. Cheap to clone.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    invites: Invites,
    pages: Pages,
    responses: Responses,
    trusted_proxies: Vec<IpNet>,
    /// How many pages may be made at a time.
    turns: Semaphore,
}

/// Why there is another response than the page that was asked for.
enum Otherwise {
    /// A page that says why, about an invite if one was found.
    Notice(Notice, Option<Box<Subject>>),
    /// The page that was meant is there.
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
    /// The web side, with these pages.
    pub fn new(invites: Invites, pages: Pages, trusted_proxies: Vec<IpNet>) -> Site {
        let responses = Responses::new(&pages.style_hash());
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Semaphore::new(processors.saturating_sub(1).max(1));
        Site(Arc::new(Inner { invites, pages, responses, trusted_proxies, turns }))
    }

    fn reader(&self, visitor: &Visitor) -> Reader<'_> {
        Reader { texts: self.0.pages.languages().preferred(&visitor.languages), device: visitor.device }
    }

    /// Makes a page, away from the threads that answer the chat server. So many are made at a time
    /// that one processor stays free.
    async fn make<T>(&self, page: impl FnOnce(&Pages) -> T) -> T {
        let _turn = self.0.turns.acquire().await;
        tokio::task::block_in_place(|| page(&self.0.pages))
    }

    /// The invite of a link, whatever its state.
    async fn find(&self, visitor: &Visitor, token: &str) -> Outcome<Subject> {
        let token = Token::parse(token);
        let invite = self.0.invites.look(token.as_ref(), Some(Address::from(visitor.address))).await?;
        // A text that cannot be a token was looked up all the same: it counts as a guess.
        let token = token.ok_or(Notice::Unknown)?;
        Ok(Subject { invite, token, purpose: None })
    }

    /// The same with what the invite does now, if it does anything.
    fn usable(&self, found: Subject) -> Outcome<Subject> {
        match self.0.invites.purpose(&found.invite) {
            Ok(purpose) => Ok(Subject { purpose: Some(purpose), ..found }),
            Err(refusal) => Err(Otherwise::about(refusal, found)),
        }
    }

    async fn landing(&self, visitor: &Visitor, token: &str) -> Outcome<Page> {
        let subject = self.usable(self.find(visitor, token).await?)?;
        Ok(self.make(|pages| pages.landing(self.reader(visitor), &subject)).await?)
    }

    async fn apps(&self, visitor: &Visitor, token: &str, wanted: &AppsQuery) -> Outcome<Page> {
        let found = self.find(visitor, token).await?;
        let logging_in = wanted.have.as_deref() == Some("account");
        // How to log in is of use with an account, whatever has become of the invite.
        let subject = if logging_in { self.usable(found.clone()).unwrap_or(found) } else { self.usable(found)? };
        let chosen = wanted.on.as_deref().and_then(Device::parse);
        let reader = Reader { device: chosen.or(visitor.device), ..self.reader(visitor) };
        Ok(self.make(|pages| pages.apps(reader, &subject, logging_in)).await?)
    }

    /// The invite that a form is for; a redirect if the invite has another form or none. The very
    /// form that is `sent` may have used the invite up before: then it is for it all the same.
    async fn for_form(&self, visitor: &Visitor, token: &str, form: Purpose, sent: bool) -> Outcome<Subject> {
        let subject = match self.usable(self.find(visitor, token).await?) {
            Err(Otherwise::Notice(notice, Some(ended))) if sent && notice.is_end() => {
                Subject { purpose: Some(form), ..*ended }
            }
            usable => usable?,
        };
        let meant = match subject.purpose {
            Some(purpose) if purpose == form => return Ok(subject),
            Some(Purpose::Register) => "/register",
            Some(Purpose::Reset) => "/reset",
            _ => "",
        };
        Err(Otherwise::Redirect(self.0.pages.path(&subject.token, meant)))
    }

    async fn show_form(&self, visitor: &Visitor, token: &str, purpose: Purpose) -> Outcome<Page> {
        let subject = self.for_form(visitor, token, purpose, false).await?;
        let (form, cookie) = match &visitor.form {
            Some(form) => (form.clone(), None),
            None => {
                let form = Token::generate()?.reveal().to_owned();
                let cookie = form_cookie(&form, self.0.pages.public_url());
                (form, Some(cookie))
            }
        };
        let made = password::make()?;
        let filled = Filled { form, made, ..Filled::default() };
        let page = self.make(|pages| pages.form(self.reader(visitor), &subject, &filled)).await?;
        Ok(Page { cookie, ..page })
    }

    async fn take_form(&self, visitor: &Visitor, token: &str, purpose: Purpose, body: Bytes) -> Outcome<Page> {
        let subject = self.for_form(visitor, token, purpose, true).await?;
        let sent = Sent::read(&body, subject.invite.host.as_str());
        if !visitor.was_shown(&sent.form) {
            return Err(Otherwise::about(Notice::Forged, subject));
        }
        let reader = self.reader(visitor);
        let (error, suggestions) = match sent.registration(&subject.invite, &subject.token, visitor.address) {
            Err(error) => (error, Vec::new()),
            Ok(registration) => {
                let username = registration.username.clone();
                match self.0.invites.register(registration).await {
                    Ok(registered) => {
                        return Ok(self.make(|pages| pages.done(reader, &subject, &registered)).await?);
                    }
                    Err(error) => self.to_correct(error, &subject, username.as_ref()).await?,
                }
            }
        };
        let made = sent.made_again()?;
        let Sent { username, made_chosen, form, .. } = sent;
        let filled = Filled { username, made_chosen, made, form, error: Some(error), suggestions };
        Ok(self.make(|pages| pages.form(reader, &subject, &filled)).await?)
    }

    /// What has to be corrected in a form after an error, with free usernames if the wanted one is
    /// taken.
    async fn to_correct(
        &self,
        error: Error,
        subject: &Subject,
        username: Option<&NodePart>,
    ) -> Outcome<(FormError, Vec<String>)> {
        let error = FormError::of(error, &subject.invite).map_err(|error| Otherwise::about(error, subject.clone()))?;
        let free = match (&error, username) {
            (FormError::Username(Refusal::UsernameTaken | Refusal::UsernameReserved), Some(taken)) => {
                self.0.invites.suggest_usernames(&subject.invite.host, taken).await
            }
            _ => Vec::new(),
        };
        Ok((error, free.into_iter().map(|username| username.to_string()).collect()))
    }

    /// The page that was asked for, or the response that there is in its place.
    async fn respond(&self, visitor: &Visitor, outcome: Outcome<Page>) -> Response {
        let reader = self.reader(visitor);
        let made = match outcome {
            Ok(page) => Ok(page),
            Err(Otherwise::Redirect(to)) => return self.0.responses.redirect(&to),
            Err(Otherwise::Notice(notice, subject)) => {
                let now = self.0.invites.now();
                self.make(|pages| pages.notice(reader, &notice, subject.as_deref(), now)).await
            }
            Err(Otherwise::Broken(error)) => Err(error),
        };
        match made {
            Ok(page) => self.0.responses.page(page, &reader.texts.code),
            Err(error) => {
                tracing::error!(%error, "a page cannot be shown");
                self.0.responses.failure(reader.texts.web.failed_text.clone())
            }
        }
    }
}

impl FromRequestParts<Site> for Visitor {
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, site).await?;
        Ok(Visitor::new(peer.ip(), &parts.headers, &site.0.trusted_proxies))
    }
}

/// What stands in the place of a token. Bytes that are no text are no token, as other guesses are.
struct TokenPart(String);

impl FromRequestParts<Site> for TokenPart {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Self::Rejection> {
        let token = Path::<String>::from_request_parts(parts, site).await;
        Ok(TokenPart(token.map(|Path(token)| token).unwrap_or_default()))
    }
}

/// What the page with the apps is asked for.
#[derive(Default, Deserialize)]
struct AppsQuery {
    /// The device that the apps are for.
    on: Option<String>,
    /// `account`: the visitor has an account and wants to log in.
    have: Option<String>,
}

/// All pages, with the path of the public URL and without it, since some proxies take it away.
///
/// Every request is counted before anything else is done with it, even if there is no such page: a
/// form that is sent counts as a form, anything else as a page.
pub fn router(site: Site) -> Router {
    let counted_as = |kind: WebRequest| {
        from_fn_with_state(site.clone(), move |State(site): State<Site>, visitor: Visitor, request: Request, next| {
            admit(site, visitor, kind, request, next)
        })
    };
    let show =
        |form| move |site: State<Site>, visitor: Visitor, token: TokenPart| show_form(site, visitor, token, form);
    let take = |form| {
        move |site: State<Site>, visitor: Visitor, token: TokenPart, body: Body| {
            take_form(site, visitor, token, form, body)
        }
    };
    let pages = Router::new()
        .route("/i/{token}", get(landing))
        .route("/i/{token}/apps", get(apps))
        .route("/i/{token}/register", get(show(Purpose::Register)))
        .route("/i/{token}/reset", get(show(Purpose::Reset)))
        .route("/logo", get(logo))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_page)
        .layer(counted_as(WebRequest::Page));
    let forms = Router::new()
        .route("/i/{token}/register", post(take(Purpose::Register)))
        .route("/i/{token}/reset", post(take(Purpose::Reset)))
        .layer(counted_as(WebRequest::Form));
    let all = pages.merge(forms);
    let path = site.0.pages.public_url().path();
    let all = if path.is_empty() { all } else { all.clone().nest(path, all) };
    all.with_state(site)
}

async fn admit(site: Site, visitor: Visitor, kind: WebRequest, request: Request, next: Next) -> Response {
    match site.0.invites.admit_request(kind, visitor.address.into()) {
        Ok(()) => next.run(request).await,
        Err(until) => site.respond(&visitor, Err(Notice::TooMany(until).into())).await,
    }
}

async fn landing(State(site): State<Site>, visitor: Visitor, TokenPart(token): TokenPart) -> Response {
    let outcome = site.landing(&visitor, &token).await;
    site.respond(&visitor, outcome).await
}

async fn apps(
    State(site): State<Site>,
    visitor: Visitor,
    TokenPart(token): TokenPart,
    wanted: Result<Query<AppsQuery>, QueryRejection>,
) -> Response {
    let wanted = wanted.map(|Query(wanted)| wanted).unwrap_or_default();
    let outcome = site.apps(&visitor, &token, &wanted).await;
    site.respond(&visitor, outcome).await
}

async fn show_form(
    State(site): State<Site>,
    visitor: Visitor,
    TokenPart(token): TokenPart,
    purpose: Purpose,
) -> Response {
    let outcome = site.show_form(&visitor, &token, purpose).await;
    site.respond(&visitor, outcome).await
}

async fn take_form(
    State(site): State<Site>,
    visitor: Visitor,
    TokenPart(token): TokenPart,
    purpose: Purpose,
    body: Body,
) -> Response {
    let outcome = match tokio::time::timeout(BODY_PATIENCE, to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(body)) => site.take_form(&visitor, &token, purpose, body).await,
        Ok(Err(_)) => Err(Notice::TooLarge.into()),
        Err(_) => Err(Notice::TooSlow.into()),
    };
    site.respond(&visitor, outcome).await
}

async fn logo(State(site): State<Site>, visitor: Visitor) -> Response {
    match site.0.pages.logo() {
        Some(logo) => site.0.responses.logo(logo),
        None => no_page(State(site), visitor).await,
    }
}

async fn no_page(State(site): State<Site>, visitor: Visitor) -> Response {
    site.respond(&visitor, Err(Notice::NoPage.into())).await
}

async fn wrong_method(State(site): State<Site>, visitor: Visitor) -> Response {
    site.respond(&visitor, Err(Notice::WrongMethod.into())).await
}
