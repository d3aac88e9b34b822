//! TLS, at both ends: for whoever comes over the network, and to the collector.
//!
//! In: certificates and keys as PEM. Out: what makes a connection of TLS out of a TCP connection, or what is wrong with them.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What a server shows: HTTP/1.1 is all that it speaks.
const SERVED: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A server with a certificate, which may ask its clients for theirs.
///
/// # Errors
/// When these are no certificates, or the key is another one's.
pub fn server(chain: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> anyhow::Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let known = Arc::new(roots(pem).context("--client-ca")?);
            let verifier = WebPkiClientVerifier::builder_with_provider(known, provider()).build();
            builder.with_client_cert_verifier(verifier.context("--client-ca")?)
        }
    };
    let chain = certificates(chain).context("--tls-cert")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| anyhow::anyhow!("--tls-key: no private key in PEM is in there"))?;
    let mut config = builder.with_single_cert(chain, key).context("--tls-cert, --tls-key")?;
    config.alpn_protocols = vec![SERVED.to_vec()];
    Ok(Arc::new(config))
}

/// A client that believes these authorities and speaks this protocol.
///
/// # Errors
/// When these are no certificates.
pub fn client(authorities: &[u8], protocol: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots(authorities)?).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

fn roots(pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    // A distribution's own list may hold some that are too old to be understood.
    let (added, _) = store.add_parsable_certificates(certificates(pem)?);
    if added == 0 {
        bail!("no certificate in there is understood");
    }
    Ok(store)
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => bail!("no certificate in PEM is in there"),
        Err(error) => bail!("this is no PEM: {error}"),
    }
}
