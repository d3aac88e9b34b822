//! The report as one HTML page.
//!
//! In: a report. Out: a page that needs nothing else: style, script and pictures are in it, and its Content-Security-Policy lets it load
//! nothing. It can be read without script. Texts of others are escaped by the template, or by `svg`.

mod axis;
mod calls;
pub mod compare;
mod endpoints;
mod exemplars;
mod facts;
mod heat;
mod map;
mod parts;
mod percentiles;
mod service;
mod stack;
mod svg;

use std::io;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::page::Page;
use crate::report::Report;
use facts::FindingView;
use service::{ServiceView, Summary};

const STYLE: &str = include_str!("../../../templates/report.css");
const SCRIPT: &str = include_str!("../../../templates/report.js");
/// Services that the title names.
const NAMED: usize = 3;

#[derive(Template)]
#[template(path = "report.html")]
struct PageTemplate<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    title: String,
    live: Option<Live>,
    report: &'a Report,
    window: Vec<(&'static str, String)>,
    summaries: Vec<Summary>,
    findings: Vec<FindingView>,
    findings_more: usize,
    map: Option<(String, usize)>,
    services: Vec<ServiceView>,
    ledger: (&'static str, String, Vec<(String, String)>),
    cost: Vec<(&'static str, String)>,
    probes: Vec<(String, &'static str, String)>,
}

/// A page that is made anew while it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Whether it stays as it is.
    pub is_paused: bool,
    /// After so many seconds it is made anew.
    pub seconds: &'static str,
    /// The address of the page that is not paused if this one is, and the other way round.
    pub other: String,
}

/// The page.
///
/// # Errors
/// Never in practice: it is written into memory.
pub fn render(report: &Report) -> io::Result<Page> {
    made(report, None)
}

/// The page of what has just been recorded.
///
/// # Errors
/// As [`render`].
pub fn render_live(report: &Report, live: Live) -> io::Result<Page> {
    made(report, Some(live))
}

fn made(report: &Report, live: Option<Live>) -> io::Result<Page> {
    let (findings, findings_more) = facts::findings(report);
    let template = PageTemplate {
        policy: policy(),
        style: STYLE,
        script: SCRIPT,
        title: title(report),
        live,
        report,
        window: facts::window(report),
        summaries: report.services.iter().enumerate().map(|(at, of)| service::summary(at, of)).collect(),
        findings,
        findings_more,
        map: map::map(report),
        services: report.services.iter().enumerate().map(|(at, of)| service::view(at, of, report)).collect(),
        ledger: facts::ledger(report),
        cost: facts::cost(report),
        probes: facts::probes(report),
    };
    let mut page = Page::default();
    page.lines(template.render().map_err(io::Error::other)?.lines());
    Ok(page)
}

/// Nothing is loaded, and only our style and script count.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn title(report: &Report) -> String {
    let names: Vec<&str> = report.services.iter().map(|service| service.name.as_str()).collect();
    match names.len() {
        0 => "no service".into(),
        1..=NAMED => names.join(", "),
        count => format!("{count} services"),
    }
}

#[cfg(test)]
mod tests;
