//! `acgs-perf-demo`: the stack that `cargo xtask demo` records. Each role prints its port, or a line, when it is ready.
//!
//! In: a role. Out: `front` asks `back` for each request; `back` sleeps 20 ms in 2 % of its requests, which is the slow
//! path to be found; `load` sends 500 requests/s on 8 connections for a bounded time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use acgs_perf_tests::clock;
use acgs_perf_tests::load::{Client, Plan};
use acgs_perf_tests::truth::{Distribution, work::Source};
use anyhow::{Context, Result};
use clap::Parser;

const MESSAGE: usize = 128;
const RATE: u32 = 500;
const CONNECTIONS: usize = 8;

#[derive(Parser)]
enum Role {
    /// Does the work: 0.2 ms of CPU, and a sleep of 20 ms in 2 % of the requests.
    Back,
    /// Answers clients with what `back` says.
    Front {
        /// Port of `back`.
        #[arg(long)]
        back: u16,
    },
    /// Steady load on `front`.
    Load {
        /// Port of `front`.
        #[arg(long)]
        port: u16,
        /// How long.
        #[arg(long)]
        seconds: u32,
    },
}

fn main() -> Result<()> {
    let role = Role::parse();
    let name = match role {
        Role::Back => c"demo-back",
        Role::Front { .. } => c"demo-front",
        Role::Load { .. } => c"demo-load",
    };
    // The report names threads by it.
    // SAFETY: PR_SET_NAME takes a string that ends with a zero byte.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    match role {
        Role::Back => serve(|seed| {
            let mut sleep = Source::new(Distribution::Bimodal(0, 20_000_000, 0.02), seed);
            Ok(move |_: &mut [u8]| {
                clock::spin(200_000);
                match sleep.draw() {
                    0 => Ok(()),
                    ns => {
                        clock::sleep(ns);
                        Ok(())
                    }
                }
            })
        }),
        Role::Front { back } => serve(move |_| {
            let mut back = TcpStream::connect((Ipv4Addr::LOCALHOST, back)).context("connect to back")?;
            back.set_nodelay(true)?;
            Ok(move |message: &mut [u8]| {
                back.write_all(message)?;
                back.read_exact(message).context("back")
            })
        }),
        Role::Load { port, seconds } => {
            let mut client =
                Client::connect((Ipv4Addr::LOCALHOST, port).into(), CONNECTIONS, &[b'x'; MESSAGE], MESSAGE)?;
            println!("loading");
            let requests = u64::from(RATE) * u64::from(seconds);
            let limit = Duration::from_secs(u64::from(seconds) * 2);
            client.run(Plan { rate: Some(RATE), requests, limit }).map(drop)
        }
    }
}

/// One thread per connection; `connected` makes what handles a connection's requests.
fn serve<H>(connected: impl Fn(u64) -> Result<H>) -> Result<()>
where
    H: FnMut(&mut [u8]) -> Result<()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    for seed in 1.. {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut handle = connected(seed)?;
        thread::spawn(move || -> Result<()> {
            let mut message = [0; MESSAGE];
            loop {
                stream.read_exact(&mut message)?;
                handle(&mut message)?;
                stream.write_all(&message)?;
            }
        });
    }
    Ok(())
}
