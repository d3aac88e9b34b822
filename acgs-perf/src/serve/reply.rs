//! Replies of the pages.
//!
//! In: a status and a text. Out: a reply that is there at once, and that nobody keeps or takes for something else.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

/// A text for people.
pub const PLAIN: &str = "text/plain; charset=utf-8";

/// A text for people.
pub fn plain(status: StatusCode, text: &str) -> Response<Text> {
    response(status, PLAIN, text.to_owned())
}

/// A text of some kind.
pub fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Text> {
    let mut response = Response::new(Text::of(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A body that is there at once.
pub struct Text(Option<Bytes>);

impl Text {
    /// A body of these bytes.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self(Some(bytes.into()))
    }
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
