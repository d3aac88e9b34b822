//! Namespaces: in which network, user and PID namespace a process lives, and in which the agent does.
//!
//! In: the `ns` directory of a process below the root of a proc file system. Out: inodes, which name namespaces on the whole
//! host. `port:` means a port of one network namespace: whoever opens the same port in another one is a stranger. So is who
//! opens it from a user namespace that nobody had chosen, since any user can make one.

use std::fs;
use std::path::Path;

use super::DiscoverError;

/// Inode of the kernel's first PID namespace, `PROC_PID_INIT_INO` of include/linux/proc_ns.h.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The inode of a namespace of a process, by its kind (`net`, `user`, `pid`); `None` where it may not be read.
pub(super) fn inode(process: &Path, kind: &str) -> Option<u64> {
    let target = fs::read_link(process.join("ns").join(kind)).ok()?;
    target.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

/// Where a selector's ports are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The network namespace.
    pub network: u64,
    /// The user namespaces from which a process may open them: the agent's, then those of the processes that were found first.
    pub users: Vec<u64>,
}

impl Place {
    /// Where the agent is; `None` where that may not be read.
    pub(super) fn own(root: &Path) -> Option<Self> {
        let own = root.join("self");
        Some(Self { network: inode(&own, "net")?, users: inode(&own, "user").into_iter().collect() })
    }

    /// The same user namespaces and these, in another network namespace.
    pub(super) fn at(&self, network: u64, users: impl IntoIterator<Item = u64>) -> Self {
        let mut place = Self { network, users: self.users.clone() };
        for user in users {
            if !place.users.contains(&user) {
                place.users.push(user);
            }
        }
        place
    }
}

/// Checks that process ids mean the same to the kernel and to the agent. In a PID namespace of its own the agent would name
/// other people's processes to the kernel.
///
/// # Errors
/// In another PID namespace than the kernel's first.
pub fn check_pids(root: &Path) -> Result<(), DiscoverError> {
    for process in ["1", "self"] {
        if inode(&root.join(process), "pid").is_some_and(|namespace| namespace != FIRST_PID_NAMESPACE) {
            return Err(DiscoverError::PidNamespace);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    #[test]
    fn an_inode_is_read_by_its_kind() {
        let tree = Tree::new();
        tree.link(5_000_001, "ns/net", "net:[4026531840]");
        tree.link(5_000_001, "ns/user", "net:[4026531837]");
        let process = tree.root().join("5000001");
        assert_eq!(inode(&process, "net"), Some(4_026_531_840));
        assert_eq!(inode(&process, "user"), None, "what a link says must be of the kind");
        assert_eq!(inode(&process, "pid"), None);
    }

    #[test]
    fn process_ids_of_a_namespace_are_refused() {
        let tree = Tree::new();
        check_pids(tree.root()).unwrap();
        tree.link(1, "ns/pid", "pid:[4026531836]");
        check_pids(tree.root()).unwrap();
        let other = Tree::new();
        other.link(1, "ns/pid", "pid:[4026532281]");
        let line = check_pids(other.root()).unwrap_err().to_string();
        assert!(line.contains("PID namespace") && !line.contains('\n'), "{line}");
    }
}
