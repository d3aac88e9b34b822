//! Which protocol a client speaks, by the first bytes of a request.
//!
//! In: a window at the beginning of a request: the first of a connection, or one behind a pause, where the connection is older than the
//! hooks. Out: the protocol. Each looks for what no other one begins with, so that none is taken for another.

use crate::found::Found;
use crate::mysql::detect::{self as mysql, Looks};
use crate::protocol::Protocol;
use crate::tls;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// The protocol, or [`Found::SHORT`] if more bytes are needed to tell.
#[inline(always)]
pub fn detect(window: &Window) -> Result<Protocol, Found> {
    let (first, left) = (window.first(), window.left());
    if left < 2 {
        return Err(Found::SHORT);
    }
    let second = (window.word(0) >> 8) as u8;
    if first == b'*' && second.is_ascii_digit() {
        // The number of words of a request.
        return Ok(Protocol::Resp);
    }
    if left < 5 {
        return Err(Found::SHORT);
    }
    if first == 0x17 && tls::Head::of(window).is_some_and(|head| head.has_data()) {
        return Ok(Protocol::Tls);
    }
    match mysql::looks(window) {
        Looks::So => return Ok(Protocol::MySql),
        Looks::Short => return Err(Found::SHORT),
        Looks::Otherwise => {}
    }
    if first.is_ascii_alphabetic() && second == 0 {
        let found = message(window);
        return if found == Ok(Protocol::Unparsed) && mysql::prepares(window) { Ok(Protocol::MySql) } else { found };
    }
    if mysql::prepares(window) {
        return if left < 6 { Err(Found::SHORT) } else { Ok(Protocol::MySql) };
    }
    if first == 0 {
        return opening(window);
    }
    if first == 0x16 {
        return hello(window.word(0), left);
    }
    if first == 1 {
        return fastcgi(window.word(0), window.word(8), left);
    }
    if first.is_ascii_uppercase() {
        return http(window.word(0), window.word(8), left);
    }
    if first.is_ascii_lowercase() {
        return memcached(window.word(0), window.word(8), left);
    }
    Ok(Protocol::Unparsed)
}

/// A command of memcached and the blank behind it. Those that other protocols have, too, are not among these.
#[inline(always)]
fn memcached(word: u64, more: u64, left: u32) -> Result<Protocol, Found> {
    let bytes = word::place(!word::between(word, b'a', b'z') & word::HIGH);
    if left <= bytes && left < 8 {
        return Err(Found::SHORT);
    }
    let is_command = matches!(
        word::first(word, bytes + 1),
        LGET | LGETS
            | LGAT
            | LGATS
            | LSET
            | LADD
            | LREPLACE
            | LAPPEND
            | LPREPEND
            | LCAS
            | LINCR
            | LDECR
            | LMG
            | LMS
            | LMD
            | LMA
    );
    if !is_command {
        return Ok(Protocol::Unparsed);
    }
    if left <= bytes + 1 {
        return Err(Found::SHORT);
    }
    // A key begins.
    let next = if bytes == 7 { more as u8 } else { (word >> (8 * (bytes + 1))) as u8 };
    Ok(if next > b' ' && next != 0x7f { Protocol::Memcached } else { Protocol::Unparsed })
}

const LGET: u64 = text("get ");
const LGETS: u64 = text("gets ");
const LGAT: u64 = text("gat ");
const LGATS: u64 = text("gats ");
const LSET: u64 = text("set ");
const LADD: u64 = text("add ");
const LREPLACE: u64 = text("replace ");
const LAPPEND: u64 = text("append ");
const LPREPEND: u64 = text("prepend ");
const LCAS: u64 = text("cas ");
const LINCR: u64 = text("incr ");
const LDECR: u64 = text("decr ");
const LMG: u64 = text("mg ");
const LMS: u64 = text("ms ");
const LMD: u64 = text("md ");
const LMA: u64 = text("ma ");

/// The record of TLS in which a client says hello: its type, version 3, two bytes of a length, the type of the message.
#[inline(always)]
fn hello(word: u64, left: u32) -> Result<Protocol, Found> {
    if left < 6 {
        return Err(Found::SHORT);
    }
    let is_hello = word & 0xff00_0000_ffff == 0x0100_0000_0316;
    Ok(if is_hello { Protocol::Tls } else { Protocol::Unparsed })
}

/// The record of FastCGI that begins a request, of eight bytes: its role is the first number in them.
#[inline(always)]
fn fastcgi(word: u64, more: u64, left: u32) -> Result<Protocol, Found> {
    if left < 10 {
        return Err(Found::SHORT);
    }
    let is_begin = word & 0xffff_0000_ffff == 0x0800_0000_0101 && matches!((more as u16).swap_bytes(), 1..=3);
    Ok(if is_begin { Protocol::FastCgi } else { Protocol::Unparsed })
}

/// The first message of a connection to PostgreSQL: its length, and a number that says what it is.
#[inline(always)]
fn opening(window: &Window) -> Result<Protocol, Found> {
    if window.left() < 8 {
        return Err(Found::SHORT);
    }
    let word = window.word(0);
    let (length, code) = ((word as u32).swap_bytes(), ((word >> 32) as u32).swap_bytes());
    let is_known = match code {
        0x0003_0000..=0x0003_ffff => {
            // The name of a parameter follows. What Kafka calls `Metadata` begins alike, with a small number behind it.
            if window.left() < 9 {
                return Err(Found::SHORT);
            }
            (window.word(8) as u8).is_ascii_alphabetic()
        }
        80_877_102..=80_877_104 => true,
        _ => false,
    };
    Ok(if is_known && (8..=10_000).contains(&length) { Protocol::Postgres } else { Protocol::Unparsed })
}

/// A later message to PostgreSQL: a byte for its type, and its length, which begins with a zero.
#[inline(always)]
fn message(window: &Window) -> Result<Protocol, Found> {
    let left = window.left();
    if left < 6 {
        let is_whole = left == 5 && matches!(window.first(), b'S' | b'X');
        if !is_whole {
            return Err(Found::SHORT);
        }
    }
    let (word, length) = (window.word(0), ((window.word(0) >> 8) as u32).swap_bytes());
    let sixth = (word >> 40) as u8;
    let is_text = sixth == b'\t' || sixth == b'\n' || sixth == b'\r' || (sixth >= b' ' && sixth != 0x7f);
    let may_be = match word as u8 {
        b'S' | b'X' => length == 4,
        // The text of a query; the names of a statement and a portal, which are often empty.
        b'Q' => length >= 5 && is_text,
        b'P' | b'B' | b'E' => length >= 8 && (is_text || sixth == 0),
        b'C' | b'D' => length >= 6 && matches!(sixth, b'S' | b'P'),
        _ => false,
    };
    // If its end can be seen: a query ends with a zero, and the head of another message follows the others. A packet of MySQL with as
    // many bytes as the code of a letter looks alike, and has neither.
    let (last, next) = (window.word(length) as u8, window.word(length.wrapping_add(1)));
    let is_closed = word as u8 != b'Q' || length >= left || last == 0;
    let is_followed = length.wrapping_add(3) > left || ((next as u8).is_ascii_alphabetic() && (next >> 8) as u8 == 0);
    Ok(if may_be && is_closed && is_followed { Protocol::Postgres } else { Protocol::Unparsed })
}

/// A method, a blank, and the beginning of a target.
#[inline(always)]
fn http(word: u64, more: u64, left: u32) -> Result<Protocol, Found> {
    let bytes = word::place(!word::between(word, b'A', b'Z') & word::HIGH);
    if left <= bytes && left < 8 {
        return Err(Found::SHORT);
    }
    match word::first(word, bytes) {
        // A request to Redis that is one line; others of that form nobody can tell from other protocols.
        PING if left > 4 && (word >> 32) as u8 == b'\r' => return Ok(Protocol::Resp),
        PING if left <= 4 => return Err(Found::SHORT),
        PRI => {
            if left < 8 {
                return Err(Found::SHORT);
            }
            return Ok(if word == text("PRI * HT") { Protocol::Http2 } else { Protocol::Unparsed });
        }
        PROPFIND | PROPPATCH => return Ok(Protocol::Http1),
        GET | POST | PUT | DELETE | PATCH | OPTIONS | TRACE | HEAD | CONNECT => {}
        MKCOL | COPY | MOVE | LOCK | UNLOCK | REPORT | SEARCH | PURGE => {}
        _ => return Ok(Protocol::Unparsed),
    }
    if bytes >= 8 || (word >> (8 * bytes)) as u8 != b' ' {
        return Ok(Protocol::Unparsed);
    }
    if left <= bytes + 1 {
        return Err(Found::SHORT);
    }
    let target = if bytes == 7 { more as u8 } else { (word >> (8 * (bytes + 1))) as u8 };
    let is_host = target.is_ascii_alphanumeric() || target == b'[';
    let is_target = target == b'/' || target == b'h' || target == b'H' || (target == b'*' && bytes == 7);
    let is_http = is_target || (is_host && word::first(word, bytes) == CONNECT);
    Ok(if is_http { Protocol::Http1 } else { Protocol::Unparsed })
}

const PING: u64 = text("PING");
const PRI: u64 = text("PRI");
const GET: u64 = text("GET");
const POST: u64 = text("POST");
const PUT: u64 = text("PUT");
const DELETE: u64 = text("DELETE");
const PATCH: u64 = text("PATCH");
const OPTIONS: u64 = text("OPTIONS");
const TRACE: u64 = text("TRACE");
const HEAD: u64 = text("HEAD");
const CONNECT: u64 = text("CONNECT");
const PROPFIND: u64 = text("PROPFIND");
const PROPPATCH: u64 = text("PROPPATC");
const MKCOL: u64 = text("MKCOL");
const COPY: u64 = text("COPY");
const MOVE: u64 = text("MOVE");
const LOCK: u64 = text("LOCK");
const UNLOCK: u64 = text("UNLOCK");
const REPORT: u64 = text("REPORT");
const SEARCH: u64 = text("SEARCH");
const PURGE: u64 = text("PURGE");
