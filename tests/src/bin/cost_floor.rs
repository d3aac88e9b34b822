//! `cost-floor`: programs that do as little as can be on the tracepoints that are named: what attaching there costs by itself, and
//! with `--informed` what it costs to read the clock and what is known of socket and thread.
//!
//! In: names of BTF tracepoints. Out: `ready` once a program is attached to each; they stay until standard input ends or the process
//! does, and leave nothing behind, because nothing is pinned.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use acgs_perf_tests::floor::{self, Storage};
use anyhow::{Context, Result};
use aya_obj::btf::{Btf, BtfKind};
use clap::Parser;

const PROG_LOAD: libc::c_long = 5;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const TYPE_TRACING: u32 = 26;
const TRACE_RAW_TP: u32 = 23;
const LICENSE: &[u8; 4] = b"GPL\0";

/// Empty programs on tracepoints.
#[derive(Parser)]
struct Cli {
    /// They read the clock and their storage instead.
    #[arg(long)]
    informed: bool,
    /// Such as sched_switch.
    #[arg(required = true)]
    tracepoints: Vec<String>,
}

/// The part of `union bpf_attr` that loads a program, as linux/bpf.h lays it out.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The part that attaches one to the tracepoint that it was loaded for.
#[repr(C)]
#[derive(Default)]
struct Open {
    name: u64,
    prog_fd: u32,
    padding: u32,
}

const _: () = assert!(size_of::<Load>() == 112 && size_of::<Open>() == 16);

fn main() -> Result<()> {
    let cli = Cli::parse();
    let types = Btf::from_sys_fs().context("the kernel's BTF")?;
    let storage = cli.informed.then(Storage::new).transpose().context("storage of sockets and threads")?;
    let mut attached = Vec::new();
    for name in &cli.tracepoints {
        let id = types.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef);
        let id = id.with_context(|| format!("this kernel has no tracepoint {name}"))?;
        let program = storage.as_ref().map_or_else(floor::empty, |storage| floor::informed(name, storage));
        attached.push(attach(id, name, &program).with_context(|| format!("attach to {name}"))?);
    }
    drop(types);
    println!("ready {}", attached.len());
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest).context("standard input")?;
    Ok(())
}

/// Loads a program for a tracepoint and attaches it; both go away with what is returned. The program has the tracepoint's
/// name, as far as the kernel has room for it.
fn attach(id: u32, name: &str, program: &[u64]) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut prog_name = [0; 16];
    for (to, from) in prog_name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    let load = Load {
        prog_type: TYPE_TRACING,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        prog_name,
        expected_attach_type: TRACE_RAW_TP,
        attach_btf_id: id,
        ..Load::default()
    };
    let program = bpf(PROG_LOAD, &load)?;
    let link = bpf(RAW_TRACEPOINT_OPEN, &Open { prog_fd: program.as_raw_fd() as u32, ..Open::default() })?;
    Ok((program, link))
}

fn bpf<T>(command: libc::c_long, attribute: &T) -> io::Result<OwnedFd> {
    let attribute = std::ptr::from_ref(attribute);
    // SAFETY: `attribute` is valid for its size, which is given, and so is what it points to; neither command writes to it.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attribute, size_of::<T>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made `fd`, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
