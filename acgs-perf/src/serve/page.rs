//! The last minutes as a page for a browser, at `/`.
//!
//! In: the report of these minutes, as the agent answers it. Out: the page. It is made here, in the process without privileges, from the
//! same text that `/api/v1/report` hands out: nothing else is known of the host.

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::query::parse_query;
use super::reply::{Text, plain, response};
use super::wire::Query;
use crate::output::html::{Live, render_live};
use crate::report::Report;

/// What is shown if nobody asks for another time.
const FROM: &str = "from=10m";
/// After so many seconds the browser asks again.
const AGAIN_S: &str = "15";
const REFRESH: HeaderName = HeaderName::from_static("refresh");
/// In place of time, to stop that.
const PAUSED: &str = "paused";

/// What stands behind `?`: the time and the service as for a report, and whether the page stays as it is.
///
/// # Errors
/// What is not understood, in words that can be said to the client.
pub fn parse(query: &str) -> Result<(Query, Live), String> {
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    let is_paused = parts.contains(&PAUSED);
    let mut rest: Vec<&str> = parts.into_iter().filter(|part| *part != PAUSED).collect();
    if !rest.iter().any(|part| part.starts_with("from=")) {
        rest.push(FROM);
    }
    let asked = rest.join("&");
    let other = if is_paused { asked.clone() } else { format!("{asked}&{PAUSED}") };
    Ok((parse_query(&asked)?, Live { is_paused, seconds: AGAIN_S, other: format!("/?{other}") }))
}

/// The page of a report.
pub fn page(json: &str, live: Live) -> Response<Text> {
    let is_paused = live.is_paused;
    let made = serde_json::from_str::<Report>(json).ok().and_then(|report| render_live(&report, live).ok());
    let Some(page) = made else {
        return plain(StatusCode::BAD_GATEWAY, "the agent's report cannot be read\n");
    };
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", page.as_str().to_owned());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'"));
    if !is_paused {
        headers.insert(REFRESH, HeaderValue::from_static(AGAIN_S));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::report::seal;

    #[test]
    fn without_a_question_it_is_the_last_ten_minutes_and_can_be_paused() {
        let (query, live) = parse("").unwrap();
        assert_eq!((query.from.as_str(), live.other.as_str(), live.is_paused), ("10m", "/?from=10m&paused", false));
        let (query, live) = parse("from=1h&service=a+b&paused").unwrap();
        assert_eq!((query.from.as_str(), query.service.as_deref()), ("1h", Some("a b")));
        assert_eq!((live.other.as_str(), live.is_paused), ("/?from=1h&service=a+b", true));
        assert!(parse("x=1").is_err());
    }

    #[test]
    fn the_page_is_asked_for_again_unless_it_is_paused() {
        let json = seal(&mut assessed(sample::whole())).unwrap();
        let at = |query: &str| page(&json, parse(query).unwrap().1);
        assert_eq!(at("").headers()[REFRESH], "15");
        assert!(!at("paused").headers().contains_key(REFRESH));
        assert_eq!(page("{}", parse("").unwrap().1).status(), StatusCode::BAD_GATEWAY);
    }
}
