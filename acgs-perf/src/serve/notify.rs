//! What the service manager is told: that the agent is ready, that it lives, what it does.
//!
//! In: `$NOTIFY_SOCKET` and `$WATCHDOG_USEC`. Out: datagrams, as in sd_notify(3). Without a service manager nothing is sent, and what
//! cannot be sent is lost: nobody waits for it.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watches: bool,
}

impl Manager {
    /// As the environment says.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        Self::new(variable("NOTIFY_SOCKET").as_deref(), is_ours && variable("WATCHDOG_USEC").is_some())
    }

    fn new(address: Option<&str>, watches: bool) -> Self {
        let address = address.and_then(|address| match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(address).ok(),
        });
        let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Self { socket: socket.ok().zip(address), watches }
    }

    /// Counting has begun, or goes on as before after a reload.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\n{}", line(status)));
    }

    /// The configuration is being read again.
    pub fn reloading(&self, monotonic_ns: u64) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns / 1000));
    }

    /// It ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// What it does.
    pub fn status(&self, status: &str) {
        self.send(&line(status));
    }

    /// It lives: intervals come.
    pub fn alive(&self) {
        if self.watches {
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            drop(socket.send_to_addr(text.as_bytes(), address));
        }
    }
}

fn line(status: &str) -> String {
    format!("STATUS={}", status.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_what_it_should() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::new(path.to_str(), true);
        manager.ready("one\ntwo");
        manager.alive();
        manager.reloading(5_000_000);
        let heard = || {
            let mut bytes = [0; 200];
            let len = socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..len].to_vec()).unwrap()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=one two");
        assert_eq!((heard(), heard()), ("WATCHDOG=1".into(), "RELOADING=1\nMONOTONIC_USEC=5000".into()));
        // Nobody there is no error.
        drop(socket);
        manager.stopping();
        Manager::new(None, true).alive();
    }
}
