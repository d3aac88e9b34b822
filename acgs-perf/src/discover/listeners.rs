//! What listens on this host, and the flag with which to profile it.
//!
//! In: the root of a proc file system. Out: [`Listener`]s, and lines that suggest a `--service` flag for each.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::DiscoverError;
use super::namespaces::Place;
use super::scan::Scan;
use super::sockets::Endpoint;
use super::udp::{self, UdpHolder};

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub endpoint: Endpoint,
    /// Who: the topmost process that holds it; `None` where it cannot be seen.
    pub pid: Option<u32>,
    /// Command name of that process.
    pub comm: Option<String>,
    /// Whether it listens in another network namespace than the agent's, where its port alone does not name it.
    pub elsewhere: bool,
}

impl Listener {
    /// The selector that chooses this listener's processes.
    pub fn selector(&self) -> String {
        match (&self.endpoint, self.pid) {
            (Endpoint::Tcp(_), Some(pid)) if self.elsewhere => format!("pid:{pid}"),
            (Endpoint::Tcp(address), _) => format!("port:{}", address.port()),
            (Endpoint::Unix(path), _) => format!("unix:{path}"),
        }
    }

    /// `tcp` or `unix`.
    pub fn protocol(&self) -> &'static str {
        match self.endpoint {
            Endpoint::Tcp(_) => "tcp",
            Endpoint::Unix(_) => "unix",
        }
    }
}

/// Lists what listens: TCP first, by address, then UNIX stream sockets. The calling process and systemd are left out.
pub fn listening(root: &Path) -> Result<Vec<Listener>, DiscoverError> {
    Ok(list(&super::whole_host(root)?, Place::own(root).map(|own| own.network)))
}

/// The UDP sockets of the host, by address.
pub fn udp_sockets(root: &Path) -> Result<Vec<UdpHolder>, DiscoverError> {
    let scan = super::whole_host(root)?;
    let mut all = udp::held(&scan, 0..scan.processes().len());
    all.sort_by_key(|holder| (holder.address, holder.pid));
    // Workers hold the socket of their master: the first of them stands for all.
    all.dedup_by(|one, two| one.address == two.address && one.comm == two.comm);
    Ok(all)
}

fn list(scan: &Scan<'_>, network: Option<u64>) -> Vec<Listener> {
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); scan.listening().len()];
    for process in 0..scan.processes().len() {
        for socket in scan.held_indices(process) {
            holders[*socket].push(process);
        }
    }
    let own = super::sockets::open_sockets(Path::new("/proc/self")).unwrap_or_default();
    let mut listeners = Vec::new();
    for (index, (socket, holders)) in scan.listening().iter().zip(&holders).enumerate() {
        let servers: Vec<usize> = holders.iter().copied().filter(|index| !scan.is_activator(*index)).collect();
        if servers.is_empty()
            && (!holders.is_empty() || scan.is_disproved(index) || own.iter().any(|open| open.inode == socket.inode))
        {
            continue;
        }
        // Workers hold the socket of their master: name the one whose parent does not hold it.
        let top = servers.iter().find(|index| scan.parent(**index).is_none_or(|parent| !servers.contains(&parent)));
        let process = top.map(|index| &scan.processes()[*index]);
        listeners.push(Listener {
            endpoint: socket.endpoint.clone(),
            pid: process.map(|process| process.pid),
            comm: process.map(|process| process.comm.clone()),
            elsewhere: network.is_some_and(|own| socket.network != 0 && socket.network != own),
        });
    }
    listeners.sort_by(|one, two| (&one.endpoint, one.pid).cmp(&(&two.endpoint, two.pid)));
    listeners.dedup();
    listeners
}

/// One line per selector, such as `  --service redis-server=port:6379   (pid 123, redis-server)`; none without listeners.
///
/// Last come the listeners whose process cannot be seen, without a flag: no selector would find it.
pub fn suggestions(listeners: &[Listener]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&Listener>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for listener in listeners {
        let selector = listener.selector();
        let index = *known.entry(selector.clone()).or_insert_with(|| {
            groups.push((selector, Vec::new()));
            groups.len() - 1
        });
        groups[index].1.push(listener);
    }
    let mut names = HashSet::new();
    let (seen, unseen): (Vec<_>, Vec<_>) =
        groups.iter().partition(|(_, members)| members.iter().any(|listener| listener.pid.is_some()));
    let lines: Vec<(String, String)> = seen
        .iter()
        .map(|(selector, members)| {
            let name = unique(&mut names, service_name(members[0]));
            (format!("--service {}", quote(&format!("{name}={selector}"))), who(members))
        })
        .collect();
    let width = lines.iter().map(|(flag, _)| flag.chars().count()).max().unwrap_or(0);
    let mut out: Vec<String> = lines.iter().map(|(flag, who)| format!("  {flag:width$}   ({who})")).collect();
    if !unseen.is_empty() {
        let selectors: Vec<&str> = unseen.iter().map(|(selector, _)| selector.as_str()).collect();
        let selectors = selectors.join(", ");
        out.push(format!("  not to be seen from here (root, in the host's PID namespace, sees it): {selectors}"));
    }
    out
}

fn who(members: &[&Listener]) -> String {
    let mut seen: Vec<(u32, &str)> =
        members.iter().filter_map(|listener| Some((listener.pid?, listener.comm.as_deref()?))).collect();
    seen.sort_unstable();
    seen.dedup();
    match seen[..] {
        [] => String::new(),
        [(pid, comm)] if members.iter().all(|listener| listener.elsewhere) => {
            format!("pid {pid}, {comm}, in another network namespace")
        }
        [(pid, comm)] => format!("pid {pid}, {comm}"),
        [(pid, comm), ref more @ ..] => format!("pid {pid} and {} more, {comm}", more.len()),
    }
}

/// A service name made of the command name, or of the port.
pub(super) fn service_name(listener: &Listener) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = listener.comm.as_deref().unwrap_or_default().chars().map(allowed).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    match (&listener.endpoint, name) {
        (Endpoint::Tcp(address), "") => format!("port-{}", address.port()),
        (Endpoint::Unix(_), "") => "unix".to_owned(),
        (_, name) => name.to_owned(),
    }
}

/// The name, with a number if it is taken.
pub(super) fn unique(taken: &mut HashSet<String>, name: String) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

/// Quotes for a POSIX shell where that is needed; what a terminal would not show stands as in `$'\x1b'`, which bash, zsh and ksh
/// read.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=:/@,%+".contains(c);
    let shows = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    if text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().all(shows) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let escaped = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        c if shows(c) => c.to_string(),
        c => c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
    };
    format!("$'{}'", text.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(address: &str, pid: u32, comm: &str) -> Listener {
        Listener {
            endpoint: Endpoint::Tcp(address.parse().unwrap()),
            pid: Some(pid),
            comm: Some(comm.to_owned()),
            elsewhere: false,
        }
    }

    #[test]
    fn suggestions_can_be_pasted() {
        let unix = Listener {
            endpoint: Endpoint::Unix("/tmp/a b.sock".to_owned()),
            pid: Some(9),
            comm: Some("(x)".to_owned()),
            elsewhere: false,
        };
        let unseen = Listener {
            endpoint: Endpoint::Tcp("0.0.0.0:22".parse().unwrap()),
            pid: None,
            comm: None,
            elsewhere: false,
        };
        let lines = suggestions(&[
            tcp("127.0.0.1:6379", 123, "redis-server"),
            tcp("[::1]:6379", 123, "redis-server"),
            tcp("127.0.0.1:6380", 124, "redis-server"),
            tcp("127.0.0.1:80", 7, "nginx: m"),
            tcp("127.0.0.1:80", 8, "nginx: m"),
            unix,
            unseen,
        ]);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert_eq!(lines[0], "  --service redis-server=port:6379     (pid 123, redis-server)");
        assert!(lines[1].starts_with("  --service redis-server-2=port:6380   (pid 124"), "{lines:#?}");
        assert!(
            lines[2].contains("nginx--m=port:80") && lines[2].ends_with("(pid 7 and 1 more, nginx: m)"),
            "{lines:#?}"
        );
        assert!(lines[3].contains("--service 'x=unix:/tmp/a b.sock'"), "{lines:#?}");
        assert!(lines[4].starts_with("  not to be seen") && lines[4].ends_with("sees it): port:22"), "{lines:#?}");
        assert!(suggestions(&[]).is_empty());
        assert_eq!(quote("x=unix:/a'\x1b[2J\u{9b}\n\\"), r"$'x=unix:/a\'\x1b[2J\xc2\x9b\x0a\\'");
    }
}
