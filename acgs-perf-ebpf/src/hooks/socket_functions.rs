//! The socket layer of kernels before 6.3, which have no tracepoints there: the functions beneath the system calls, watched
//! where they are entered or return. An argument's number is its place in the function's declaration; the result follows.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

use super::entry::run;
use super::socket::{data_ready, received, sent};
use crate::kernel::sock::Sock;

/// `void sock_def_readable(struct sock *sk)`: what `sk->sk_data_ready` is for TCP and UNIX sockets.
#[fentry(function = "sock_def_readable")]
pub fn readable(ctx: FEntryContext) -> i32 {
    run(|| data_ready(Sock::from_raw(ctx.arg(0))))
}

/// `int …(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[inline(always)]
fn receive(ctx: &FExitContext) -> i32 {
    run(|| received(ctx.arg(4), ctx.arg(3), || Sock::behind(ctx.arg(0))))
}

#[fexit(function = "inet_recvmsg")]
pub fn received_inet(ctx: FExitContext) -> i32 {
    receive(&ctx)
}

#[fexit(function = "inet6_recvmsg")]
pub fn received_inet6(ctx: FExitContext) -> i32 {
    receive(&ctx)
}

#[fexit(function = "unix_stream_recvmsg")]
pub fn received_unix(ctx: FExitContext) -> i32 {
    receive(&ctx)
}

// Inlined into their entry points: a call more is 32 bytes of the stack, of which Linux 6.1 has 512.

/// `int …(struct socket *sock, struct msghdr *msg, size_t size)`.
#[inline(always)]
fn send(ctx: &FExitContext) -> i32 {
    run(|| sent(ctx.arg(3), || Sock::behind(ctx.arg(0))))
}

#[fexit(function = "inet_sendmsg")]
#[inline(always)]
pub fn sent_inet(ctx: FExitContext) -> i32 {
    send(&ctx)
}

#[fexit(function = "inet6_sendmsg")]
#[inline(always)]
pub fn sent_inet6(ctx: FExitContext) -> i32 {
    send(&ctx)
}

#[fexit(function = "unix_stream_sendmsg")]
#[inline(always)]
pub fn sent_unix(ctx: FExitContext) -> i32 {
    send(&ctx)
}

/// `ssize_t …(struct socket *sock, struct page *page, int offset, size_t size, int flags)`: sendfile and splice, until 6.4.
#[inline(always)]
fn send_page(ctx: &FExitContext) -> i32 {
    run(|| sent(ctx.arg(5), || Sock::behind(ctx.arg(0))))
}

#[fexit(function = "inet_sendpage")]
#[inline(always)]
pub fn sent_page_inet(ctx: FExitContext) -> i32 {
    send_page(&ctx)
}

#[fexit(function = "unix_stream_sendpage")]
#[inline(always)]
pub fn sent_page_unix(ctx: FExitContext) -> i32 {
    send_page(&ctx)
}
