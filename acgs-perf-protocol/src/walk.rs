//! The steps of a connection's two directions, whatever is spoken on it.
//!
//! In: a stream, and a window with its next bytes. Out: what the step found. Whoever drives them fills the window again when a step is
//! short of bytes: what the window still has goes in front, see [`keep_rest`] and [`put_rest`].

use crate::fastcgi;
use crate::found::Found;
use crate::http1;
use crate::memcached;
use crate::mysql;
use crate::name::Name;
use crate::place;
use crate::postgres;
use crate::protocol::Protocol;
use crate::resp;
use crate::stream::Stream;
use crate::tls;
use crate::window::Window;

/// The longest token: as many bytes as are carried over from one piece of the stream to the next.
pub const TOKEN: u32 = 16;

/// Takes the next token of what the client sends.
#[inline(always)]
pub fn request_step(protocol: Protocol, stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if window.left() == 0 {
        return Found::SHORT;
    }
    match protocol {
        Protocol::Resp => resp::request::step(stream, window, name),
        Protocol::Http1 => http1::request::step(stream, window, name),
        Protocol::Postgres => postgres::request::step(stream, window, name),
        Protocol::Memcached => memcached::request::step(stream, window, name),
        Protocol::FastCgi => fastcgi::request::step(stream, window, name),
        Protocol::MySql => mysql::request::step(stream, window, name),
        Protocol::Tls => tls::request::step(stream, window, name),
        _ => Found::LOST,
    }
}

/// Takes the next token of what the server sends.
#[inline(always)]
pub fn reply_step(protocol: Protocol, stream: &mut Stream, window: &mut Window) -> Found {
    if window.left() == 0 {
        return Found::SHORT;
    }
    match protocol {
        Protocol::Resp => resp::reply::step(stream, window),
        Protocol::Http1 => http1::reply::step(stream, window),
        Protocol::Postgres => postgres::reply::step(stream, window),
        Protocol::Memcached => memcached::reply::step(stream, window),
        Protocol::FastCgi => fastcgi::reply::step(stream, window),
        Protocol::MySql => mysql::reply::step(stream, window),
        Protocol::Tls => tls::reply::step(stream, window),
        _ => Found::LOST,
    }
}

/// Passes over the bytes at which nobody looks, as far as the window has them.
#[inline(always)]
pub fn skip(stream: &mut Stream, window: &mut Window) {
    let left = u64::from(window.left());
    let bytes = if stream.skip < left { stream.skip } else { left };
    stream.skip -= bytes;
    window.take(bytes as u32);
}

/// Keeps what a step did not suffice for, until more comes. Whether it could: no token is longer.
#[inline(always)]
pub fn keep_rest(stream: &mut Stream, window: &mut Window) -> bool {
    let left = window.left();
    if left > TOKEN {
        return false;
    }
    stream.carry = [window.word(0), window.word(8)];
    stream.carried = left as u8;
    window.at = window.end;
    true
}

/// Puts that in front of the window, and says how many bytes it is: more bytes go behind it.
#[inline(always)]
pub fn put_rest(stream: &mut Stream, window: &mut Window) -> u32 {
    let bytes = window.bytes.as_mut_ptr();
    // SAFETY: the window has sixteen bytes and more.
    unsafe {
        place::store(bytes, stream.carry[0]);
        place::store(bytes.add(8), stream.carry[1]);
    }
    let carried = u32::from(stream.carried);
    stream.carried = 0;
    window.at = 0;
    window.end = carried;
    carried
}
