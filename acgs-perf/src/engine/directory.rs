//! Who listens where, to give downstream peers a name.
//!
//! In: the recorded services, the catalogue, what listens on this host. Out: names by address. A recorded service wins
//! over the catalogue on loopback, where it has the ports on which it listens and no others; the catalogue names a port wherever its host is.

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
    /// Names of the recorded services.
    recorded: Vec<String>,
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
        let recorded = specs.iter().map(|spec| spec.name.clone()).collect();
        Self { own_ports, unix, catalogue_ports, recorded }
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
        let is_here = address.ip().is_loopback();
        let here = self.own_ports.get(&port).filter(|_| is_here);
        // Not the service of that name that is recorded: on this host it is known where that one listens.
        let elsewhere = || self.catalogue_ports.get(&port).filter(|name| !is_here || !self.recorded.contains(name));
        here.or_else(elsewhere).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_catalogue_is_not_the_recorded_service_of_that_name() {
        let of = |port: u16, name: &str| HashMap::from([(port, name.to_owned())]);
        let catalogue_ports = HashMap::from([(6379, "redis".to_owned()), (5432, "postgres".to_owned())]);
        let recorded = vec!["redis".to_owned()];
        let listeners = Listeners { own_ports: of(7000, "redis"), unix: HashMap::new(), catalogue_ports, recorded };
        let name = |address| listeners.name(address);
        assert_eq!(name("127.0.0.1:7000").as_deref(), Some("redis"));
        assert_eq!(name("127.0.0.1:6379"), None);
        assert_eq!(name("192.0.2.1:6379").as_deref(), Some("redis"));
        assert_eq!(name("127.0.0.1:5432").as_deref(), Some("postgres"));
    }
}
