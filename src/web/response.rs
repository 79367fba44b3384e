//! Responses: pages as they are sent, with the headers that all of them have.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::look::Logo;
use super::pages::Page;

/// What every response has.
pub struct Responses(HeaderMap);

impl Responses {
    /// For pages whose style has this hash.
    pub fn new(style_hash: &str) -> Responses {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::VARY, "Accept-Language, User-Agent"),
            (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            // Web clients may read the pages: they say nothing that the token does not give.
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Link"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // The pages have no scripts and no frames, and load nothing from elsewhere.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style_hash}'; img-src 'self' data:; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        Responses(headers)
    }

    /// A page in this language.
    pub fn page(&self, page: Page, language: &str) -> Response {
        let link = page.alternate.map(|uri| format!("<{uri}>; rel=\"alternate\""));
        let more = [
            (header::CONTENT_LANGUAGE, Some(language.to_owned())),
            (header::LINK, link),
            (header::RETRY_AFTER, page.retry_after.map(|seconds| seconds.to_string())),
            (header::SET_COOKIE, page.cookie),
        ];
        let mut headers = self.0.clone();
        for (name, value) in more {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        (page.status, headers, page.html).into_response()
    }

    /// Leads to another page.
    pub fn redirect(&self, to: &str) -> Response {
        let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, self.0.clone(), [(header::LOCATION, to)]).into_response()
    }

    /// A failure in plain words, where no page can be made.
    pub fn failure(&self, text: String) -> Response {
        let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.clone(), plain, text).into_response()
    }

    /// The logo, which browsers keep for an hour.
    pub fn logo(&self, logo: &Logo) -> Response {
        let about = [(header::CONTENT_TYPE, logo.media_type), (header::CACHE_CONTROL, "public, max-age=3600")];
        (self.0.clone(), about, logo.image.clone()).into_response()
    }
}
