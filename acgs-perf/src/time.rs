//! Points in time as people write them.
//!
//! In: `03:05`, `2026-11-29 03:05`, `2026-11-29T03:05:00Z`, `15m`, `@1700000000`, `now`. Out: ns since 1970. Without a `Z` it is the
//! host's local time, as in its logs.

use std::time::Duration;

use anyhow::bail;

const SECOND: u64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Parses a point in time; `now` is that of now.
///
/// # Errors
/// When it is none.
pub fn parse(option: &str, text: &str, now_unix_ns: u64) -> anyhow::Result<u64> {
    let now = (now_unix_ns / SECOND) as i64;
    let seconds = match text {
        "now" => return Ok(now_unix_ns),
        _ if text.starts_with('@') => text[1..].parse().ok(),
        _ => match humantime::parse_duration(text) {
            Ok(ago) => return Ok(now_unix_ns.saturating_sub(ago.as_nanos() as u64)),
            Err(_) => parse_date(text, now),
        },
    };
    match seconds.and_then(|seconds: i64| u64::try_from(seconds).ok()?.checked_mul(SECOND)) {
        Some(ns) => Ok(ns),
        None => bail!(
            "{option} {text}: want a time of day as 03:05, a date as 2026-11-29T03:05 (with Z for UTC), or how long ago, as 15m"
        ),
    }
}

/// How long: `30s`, `1m 30s`; a number alone is seconds.
///
/// # Errors
/// When it is none.
pub fn length(text: &str) -> Result<Duration, humantime::DurationError> {
    let seconds = text.trim().parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()));
    match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(length) => Ok(length),
        None => humantime::parse_duration(text),
    }
}

/// A date with a time, or a time of day, which is the last one that is past.
fn parse_date(text: &str, now: i64) -> Option<i64> {
    let (text, is_utc) = text.strip_suffix('Z').map_or((text, false), |text| (text, true));
    match text.split_once(['T', ' ']) {
        Some((date, time)) => {
            let [year, month, day] = numbers(date, '-')?;
            let [hour, minute, second] = time_of_day(time)?;
            seconds([year, month, day, hour, minute, second], is_utc)
        }
        None => {
            let [hour, minute, second] = time_of_day(text)?;
            let today = fields(now, is_utc)?;
            let at = |day: i32| seconds([today[0], today[1], day, hour, minute, second], is_utc);
            // A day before the first of a month is the last of the one before.
            let of_today = at(today[2])?;
            if of_today <= now { Some(of_today) } else { at(today[2] - 1).or(Some(of_today - DAY)) }
        }
    }
}

fn time_of_day(text: &str) -> Option<[i32; 3]> {
    let time = match text.matches(':').count() {
        1 => numbers(&format!("{text}:00"), ':')?,
        _ => numbers(text, ':')?,
    };
    (time[0] < 24 && time[1] < 60 && time[2] < 61).then_some(time)
}

fn numbers(text: &str, separator: char) -> Option<[i32; 3]> {
    let all: Option<Vec<i32>> = text
        .split(separator)
        .map(|word| word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() <= 4))
        .collect();
    all?.try_into().ok()
}

/// Year, month and day of a second.
fn fields(second: i64, is_utc: bool) -> Option<[i32; 3]> {
    // SAFETY: all zeroes are a value of `tm`; both calls fill it, and read the second.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        let done = if is_utc {
            libc::gmtime_r(&raw const second, &raw mut tm)
        } else {
            libc::localtime_r(&raw const second, &raw mut tm)
        };
        (!done.is_null()).then_some(tm)?
    };
    Some([tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday])
}

fn seconds([year, month, day, hour, minute, second]: [i32; 6], is_utc: bool) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(0..=31).contains(&day) {
        return None;
    }
    // SAFETY: all zeroes are a value of `tm`; both calls read it, and bring it to its usual form.
    let seconds = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        (tm.tm_year, tm.tm_mon, tm.tm_mday) = (year - 1900, month - 1, day);
        (tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_isdst) = (hour, minute, second, -1);
        if is_utc { libc::timegm(&raw mut tm) } else { libc::mktime(&raw mut tm) }
    };
    (seconds >= 0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_seconds() {
        let of = |text: &str| length(text).ok().map(|length| length.as_millis());
        assert_eq!((of("30"), of("0.5"), of("30s"), of("2m")), (Some(30_000), Some(500), Some(30_000), Some(120_000)));
        assert_eq!(
            (of(""), of("-3"), of("inf"), of("nan"), of("3 x"), of("1e400")),
            (None, None, None, None, None, None)
        );
    }

    /// 2026-11-29 03:30:00 UTC.
    const NOW: u64 = 1_795_923_000 * SECOND;

    fn at(text: &str) -> Option<u64> {
        parse("--from", text, NOW).ok().map(|ns| ns / SECOND)
    }

    #[test]
    fn people_write_times_in_many_ways() {
        let now = NOW / SECOND;
        assert_eq!(at("now"), Some(now));
        assert_eq!(at("15m"), Some(now - 900));
        assert_eq!(at("1h 30m"), Some(now - 5400));
        assert_eq!(at("@1700000000"), Some(1_700_000_000));
        assert_eq!(at("2026-11-29T03:05:00Z"), Some(now - 1500));
        assert_eq!(at("2026-11-29 03:05Z"), Some(now - 1500));
        assert_eq!(at("03:05Z"), Some(now - 1500));
        // Not yet today.
        assert_eq!(at("03:31:30Z"), Some(now - 86_400 + 90));
        // Local times are within a day of the universal one.
        assert!(at("03:05").unwrap() <= now && at("03:05").unwrap() > now - 86_400);
        assert!(at("2026-11-29T03:05").unwrap().abs_diff(now - 1500) <= 14 * 3600);
    }

    #[test]
    fn what_is_no_time_is_refused_in_one_line() {
        for text in [
            "",
            "25:00",
            "03:60",
            "3",
            "yesterday",
            "2026-13-01T00:00",
            "2026-11-29",
            "1960-01-01T00:00Z",
            "-1m",
            "@-5",
            "03:05:",
            "+3:05",
        ] {
            let error = parse("--from", text, NOW).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--from {text}: want a time")) && !error.contains('\n'), "{error}");
        }
    }
}
