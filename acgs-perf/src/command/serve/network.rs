//! Who may come over the network, and which collector is told: flags, and the files that they name.
//!
//! In: the arguments. Out: an [`Access`] and a [`Config`], or one line that says what is missing or wrong. Files are read here, before
//! anything is forked or attached, and those of `--listen` again on SIGHUP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::serve::access::{Access, Certificate};
use crate::serve::otlp::{Config, Endpoint};
use crate::serve::secrets;

/// Where distributions keep the authorities that they believe.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Arguments over the network, but for the address itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Speak TLS at --listen, with this certificate and those up to its authority, in PEM; SIGHUP has it read again
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, which others may not read
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Only clients with a certificate of these authorities
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Only clients that show this token, as `Authorization: Bearer`; others may not read the file
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Send what is recorded to this collector: http://HOST:4318 or grpc://HOST:4317, with TLS https:// or grpcs://
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Authorities that the collector's certificate must be of [default: those of the distribution]
    #[arg(long, value_name = "FILE")]
    pub otlp_ca: Option<PathBuf>,
    /// Show this token to the collector
    #[arg(long, value_name = "FILE")]
    pub otlp_token_file: Option<PathBuf>,
}

impl Args {
    /// Who may come to this address.
    pub fn access(&self, listen: Option<SocketAddr>) -> anyhow::Result<Access> {
        let Self { tls_cert, tls_key, client_ca, token_file, .. } = self;
        let Some(address) = listen else {
            let given = [
                ("--tls-cert", tls_cert),
                ("--tls-key", tls_key),
                ("--client-ca", client_ca),
                ("--token-file", token_file),
            ];
            return match given.into_iter().find(|(_, file)| file.is_some()) {
                Some((flag, _)) => bail!("{flag}: is of no use without --listen ADDRESS:PORT"),
                None => Ok(Access::default()),
            };
        };
        let certificate = match (tls_cert, tls_key) {
            (Some(cert), Some(key)) => Some(Certificate {
                chain: secrets::public("--tls-cert", cert)?,
                key: secrets::secret("--tls-key", key)?,
                client_ca: client_ca.as_deref().map(|file| secrets::public("--client-ca", file)).transpose()?,
            }),
            (Some(_), None) => bail!("--tls-cert: give its key too, with --tls-key FILE"),
            (None, Some(_)) => bail!("--tls-key: give its certificate too, with --tls-cert FILE"),
            (None, None) if client_ca.is_some() => {
                bail!("--client-ca: clients show certificates over TLS only; give --tls-cert FILE and --tls-key FILE")
            }
            (None, None) => None,
        };
        let token = token_file.as_deref().map(|file| secrets::token("--token-file", file)).transpose()?;
        let access = Access { certificate, token: token.as_deref().map(secrets::digest) };
        if !address.ip().is_loopback() && !access.is_for_strangers() {
            bail!(
                "--listen {address}: beyond loopback only with TLS and clients that are known; give --tls-cert FILE and --tls-key FILE, \
                 and --token-file FILE or --client-ca FILE"
            );
        }
        // What is wrong with certificates is said now, and not to the first client.
        access.gate()?;
        Ok(access)
    }

    /// Which collector is told, and how.
    pub fn exporting(&self) -> anyhow::Result<Option<Config>> {
        let Some(url) = &self.otlp else {
            for (flag, file) in [("--otlp-ca", &self.otlp_ca), ("--otlp-token-file", &self.otlp_token_file)] {
                if file.is_some() {
                    bail!("{flag}: is of no use without --otlp URL");
                }
            }
            return Ok(None);
        };
        let endpoint: Endpoint = url.parse().map_err(|why| anyhow::anyhow!("--otlp {why}"))?;
        if self.otlp_ca.is_some() && !endpoint.is_tls {
            bail!("--otlp-ca: --otlp {url} speaks no TLS; want https:// or grpcs://");
        }
        let token =
            self.otlp_token_file.as_deref().map(|file| secrets::token("--otlp-token-file", file)).transpose()?;
        if token.is_some() && !endpoint.is_tls && !endpoint.is_loopback() {
            bail!("--otlp-token-file: anybody could read the token on its way to {url}; want https:// or grpcs://");
        }
        let authorities = match (&self.otlp_ca, endpoint.is_tls) {
            (_, false) => Vec::new(),
            (Some(file), true) => secrets::public("--otlp-ca", file)?,
            (None, true) => {
                let known = AUTHORITIES.into_iter().map(Path::new).find(|path| path.exists());
                let known =
                    known.context("--otlp: this host has no list of authorities; name one with --otlp-ca FILE")?;
                secrets::public("--otlp", known)?
            }
        };
        Ok(Some(Config { endpoint, authorities, token }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(listen: &str, args: &Args) -> String {
        let said = format!("{:#}", args.access(Some(listen.parse().unwrap())).unwrap_err());
        assert!(!said.contains('\n'), "{said}");
        said
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Args::default();
        assert!(none.access(Some("127.0.0.1:1".parse().unwrap())).is_ok());
        let said = refused("0.0.0.0:1", &none);
        assert!(said.contains("--tls-cert FILE") && said.contains("--token-file FILE"), "{said}");
        let file = || Some(PathBuf::from("/nonexistent"));
        assert!(refused("127.0.0.1:1", &Args { tls_cert: file(), ..Args::default() }).contains("--tls-key FILE"));
        assert!(refused("127.0.0.1:1", &Args { tls_key: file(), ..Args::default() }).contains("--tls-cert FILE"));
        assert!(refused("127.0.0.1:1", &Args { client_ca: file(), ..Args::default() }).contains("--tls-cert FILE"));
        let token = Args { token_file: file(), ..Args::default() };
        assert!(refused("127.0.0.1:1", &token).starts_with("--token-file /nonexistent: "));
        assert!(token.access(None).unwrap_err().to_string().contains("without --listen"));
    }

    #[test]
    fn a_token_is_not_told_to_everybody() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let args = |url: &str| Args { otlp: Some(url.into()), otlp_token_file: Some(token.clone()), ..Args::default() };
        assert!(args("http://127.0.0.1:4318").exporting().unwrap().is_some());
        assert!(args("http://otel:4318").exporting().err().unwrap().to_string().contains("https://"));
        assert!(args("nonsense").exporting().err().unwrap().to_string().starts_with("--otlp nonsense: want "));
        assert!(Args::default().exporting().unwrap().is_none());
    }
}
