//! What is sent: pages and images as responses, and the headers that all responses have.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use super::branding::Image;
use super::pages::Page;

/// The headers that a response has unless it sets its own. `style_hash` allows the pages' style.
/// `origin` is that of the images, if the pages are shown at other origins, too.
pub fn headers(style_hash: &str, origin: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "Accept-Language, User-Agent, Sec-CH-UA-Platform, Sec-CH-UA-Mobile"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        // Web clients may read the pages, which say nothing that the token does not give away.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Link"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The pages have no scripts and no frames, and load nothing else from elsewhere.
    let images = origin.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style_hash}'; img-src 'self' data:{images}; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers
}

/// A response with these headers, where it has none of its own.
pub fn with(headers: &HeaderMap, mut response: Response) -> Response {
    for (name, value) in headers {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

/// A page in this language.
pub fn page(page: Page, language: &str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_LANGUAGE, Some(language.to_owned())),
        (header::LINK, page.alternate.map(|uri| format!("<{uri}>; rel=\"alternate\""))),
        (header::RETRY_AFTER, page.retry_after.map(|seconds| seconds.to_string())),
        (header::SET_COOKIE, page.cookie),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    (page.status, headers, Html(page.html)).into_response()
}

/// An image, which browsers keep for an hour.
pub fn image(image: &Image) -> Response {
    let about = [(header::CONTENT_TYPE, image.media_type), (header::CACHE_CONTROL, "public, max-age=3600")];
    (about, image.bytes.clone()).into_response()
}
