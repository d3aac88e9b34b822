//! Who may come over the network, and how: certificate, token.
//!
//! In: files that were given with flags. Out: their bytes, which go to the network-facing process when it is forked and on SIGHUP, and
//! there the [`Gate`] that each client passes.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use super::secrets::{TokenDigest, is_token};
use super::tls;

/// What makes a server of TLS, in PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The certificate, and those between it and its authority.
    pub chain: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// Whose certificates clients must show; `None` if they need none.
    pub client_ca: Option<Vec<u8>>,
}

/// What is asked of clients.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// TLS; `None` without.
    pub certificate: Option<Certificate>,
    /// The digest of the token that they must show; `None` if they need none.
    pub token: Option<TokenDigest>,
}

impl fmt::Debug for Access {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is in no log.
        to.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Whether it may be offered to everybody: what is said is not overheard, and clients are known.
    #[must_use]
    pub fn is_for_strangers(&self) -> bool {
        let certificate = self.certificate.as_ref();
        certificate.is_some_and(|certificate| self.token.is_some() || certificate.client_ca.is_some())
    }

    /// What each client passes.
    ///
    /// # Errors
    /// When the certificate, its key or the authority of clients is none.
    pub fn gate(&self) -> anyhow::Result<Gate> {
        let tls = self.certificate.as_ref().map(|certificate| {
            let Certificate { chain, key, client_ca } = certificate;
            tls::server(chain, key, client_ca.as_deref())
        });
        Ok(Gate { tls: tls.transpose()?.map(TlsAcceptor::from), token: self.token })
    }
}

/// What each client passes.
#[derive(Clone, Default)]
pub struct Gate {
    /// Makes a connection of TLS; `None` without.
    pub tls: Option<TlsAcceptor>,
    token: Option<TokenDigest>,
}

impl Gate {
    /// Whether a client that shows this `Authorization` is let in.
    #[must_use]
    pub fn admits(&self, authorization: &str) -> bool {
        let Some(token) = &self.token else { return true };
        let given = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        is_token(given.map_or("", |(_, given)| given.trim()), token)
    }
}

#[cfg(test)]
mod tests {
    use super::super::secrets::digest;
    use super::*;

    #[test]
    fn strangers_need_tls_and_a_name() {
        let certificate = |client_ca| Some(Certificate { chain: Vec::new(), key: Vec::new(), client_ca });
        let token = Some(digest("x"));
        for (certificate, token, is_for_strangers) in [
            (None, None, false),
            (None, token, false),
            (certificate(None), None, false),
            (certificate(None), token, true),
            (certificate(Some(Vec::new())), None, true),
        ] {
            assert_eq!(Access { certificate, token }.is_for_strangers(), is_for_strangers);
        }
    }

    #[test]
    fn the_token_is_asked_for() {
        let gate = Gate { tls: None, token: Some(digest("0123456789abcdef")) };
        assert!(gate.admits("Bearer 0123456789abcdef") && gate.admits("bearer 0123456789abcdef"));
        for wrong in ["", "Bearer", "Bearer ", "0123456789abcdef", "Basic 0123456789abcdef", "Bearer 0123456789abcdeg"]
        {
            assert!(!gate.admits(wrong), "{wrong}");
        }
        assert!(Gate::default().admits(""));
    }

    #[test]
    fn what_is_no_certificate_is_said() {
        let certificate = Certificate { chain: b"nonsense".to_vec(), key: Vec::new(), client_ca: None };
        let access = Access { certificate: Some(certificate), token: None };
        let said = format!("{:#}", access.gate().err().unwrap());
        assert!(said.starts_with("--tls-cert") && !said.contains('\n'), "{said}");
    }
}
