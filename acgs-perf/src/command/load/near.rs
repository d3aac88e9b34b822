//! Which servers may be loaded without being asked twice: those of this host.
//!
//! In: an address. Out: whether it is loopback's or one of an interface of this network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Whether packets to it stay on this host.
///
/// # Errors
/// If the kernel does not say which addresses there are.
pub fn is_near(address: IpAddr) -> io::Result<bool> {
    let address = address.to_canonical();
    Ok(address.is_loopback() || address.is_unspecified() || own()?.contains(&address))
}

/// The addresses of the interfaces of this network namespace.
fn own() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is valid for writing; what it points to then is freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: each entry of the list is valid until the list is freed, and the next one is null behind the last.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: an address of an interface is null or valid.
        if let Some(address) = unsafe { entry.ifa_addr.as_ref() } {
            match i32::from(address.sa_family) {
                libc::AF_INET => {
                    // SAFETY: the family says that it is a sockaddr_in.
                    let address = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in>() };
                    addresses.push(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into());
                }
                libc::AF_INET6 => {
                    // SAFETY: the family says that it is a sockaddr_in6.
                    let address = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in6>() };
                    addresses.push(Ipv6Addr::from(address.sin6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list is the kernel's answer from above, and nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_near_and_a_strangers_network_is_not() {
        for near in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(is_near(near.parse().unwrap()).unwrap(), "{near}");
        }
        // Those of documentation (RFC 5737 and 3849) belong to nobody.
        for far in ["192.0.2.1", "203.0.113.9", "2001:db8::1"] {
            assert!(!is_near(far.parse().unwrap()).unwrap(), "{far}");
        }
    }
}
