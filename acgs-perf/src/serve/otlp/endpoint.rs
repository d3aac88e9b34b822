//! Where the collector is, and how it is spoken to.
//!
//! In: an address as a user writes it. Out: an [`Endpoint`], or what is wrong with it.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it speaks gRPC; otherwise HTTP/1.1 with protobuf.
    pub is_grpc: bool,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Its name or address, an address of IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What stands before `/v1/metrics`; empty or begins with a slash.
    pub path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let want =
            || format!("{text}: want http://HOST:4318, https://HOST:4318, grpc://HOST:4317 or grpcs://HOST:4317");
        let uri: Uri = text.parse().map_err(|_| want())?;
        let (is_grpc, is_tls) = match uri.scheme_str() {
            Some("http") => (false, false),
            Some("https") => (false, true),
            Some("grpc") => (true, false),
            Some("grpcs") => (true, true),
            _ => return Err(want()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(want)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path().trim_end_matches('/').to_owned();
        if host.is_empty() || uri.query().is_some() || is_grpc && !path.is_empty() {
            return Err(want());
        }
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse().map_err(|_| want())?,
            _ if is_grpc => 4317,
            _ => 4318,
        };
        Ok(Self { is_grpc, is_tls, host, port, path })
    }
}

impl Endpoint {
    /// Name and port, as `Host` has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Whether it is on this host for sure, so that nobody overhears what is said to it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        for (text, is_grpc, is_tls, authority, path) in [
            ("http://127.0.0.1:4318", false, false, "127.0.0.1:4318", ""),
            ("http://otel", false, false, "otel:4318", ""),
            ("https://otel.example:443/otlp/", false, true, "otel.example:443", "/otlp"),
            ("grpc://[::1]", true, false, "[::1]:4317", ""),
            ("grpc://[::1]:9", true, false, "[::1]:9", ""),
            ("grpcs://otel:4317/", true, true, "otel:4317", ""),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.is_grpc, endpoint.is_tls), (is_grpc, is_tls), "{text}");
            assert_eq!((endpoint.authority().as_str(), endpoint.path.as_str()), (authority, path), "{text}");
        }
        for text in [
            "",
            "otel:4317",
            "ftp://x",
            "http://",
            "http://u:p@x",
            "http://x:y",
            "http://x?a=b",
            "grpc://x/y",
            "http://x:99999",
        ] {
            let said = text.parse::<Endpoint>().unwrap_err();
            assert!(said.contains("want http://") && !said.contains('\n'), "{said}");
        }
        assert!("http://127.0.0.1".parse::<Endpoint>().unwrap().is_loopback());
        assert!(!"http://otel".parse::<Endpoint>().unwrap().is_loopback());
    }
}
