//! Who listens where, to give downstream peers a name.
//!
//! In: the recorded services, the catalogue, what listens on this host. Out: names by address. A recorded service wins
//! over the catalogue on loopback; the catalogue names a port wherever its host is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use super::notes::Notes;
use crate::discover::selector::Term;
use crate::discover::sockets::Endpoint;
use crate::discover::{self, ServiceSpec, config};
use crate::live::maps::Maps;

/// Names by address.
pub struct Listeners {
    /// Ports on this host on which recorded services listen.
    own_ports: HashMap<u16, String>,
    unix: HashMap<String, String>,
    catalogue_ports: HashMap<u16, String>,
}

impl Listeners {
    /// Looks around on this host.
    pub fn find(specs: &[ServiceSpec], maps: &Maps, notes: &mut Notes) -> Self {
        let name = |service: usize| specs.get(service).map(|spec| spec.name.clone());
        let own_ports = (1..=u16::MAX).filter_map(|port| Some((port, name(maps.service_of_port(port)?)?))).collect();
        let unix = notes
            .unless(discover::listening(Path::new("/proc")), "peers on UNIX sockets have no names")
            .unwrap_or_default()
            .into_iter()
            .filter_map(|listener| match listener.endpoint {
                Endpoint::Unix(path) => Some((path, name(maps.service_of(listener.pid?)?)?)),
                Endpoint::Tcp(_) => None,
            })
            .collect();
        let catalogue_ports = config::catalogue()
            .map(|catalogue| catalogue.services)
            .unwrap_or_default()
            .iter()
            .flat_map(|spec| ports(spec).map(|port| (port, spec.name.clone())))
            .collect();
        Self { own_ports, unix, catalogue_ports }
    }
}

/// The ports that a specification names.
fn ports(spec: &ServiceSpec) -> impl Iterator<Item = u16> {
    spec.selectors.iter().flat_map(|selector| selector.terms()).filter_map(|term| match term {
        Term::Port(port) => Some(*port),
        _ => None,
    })
}

impl Listeners {
    /// Name of the service that listens at an address: `address:port` or `unix:PATH`.
    pub fn name(&self, address: &str) -> Option<String> {
        match address.strip_prefix("unix:") {
            Some(path) => self.unix.get(path).cloned(),
            None => self.tcp(address.parse().ok()?),
        }
    }

    fn tcp(&self, address: SocketAddr) -> Option<String> {
        let port = address.port();
        let here = self.own_ports.get(&port).filter(|_| address.ip().is_loopback());
        here.or_else(|| self.catalogue_ports.get(&port)).cloned()
    }
}
