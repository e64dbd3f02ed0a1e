//! TLS as `sslmode` says, with libpq's meaning (PostgreSQL manual, "SSL Support").

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::error::ConnectError;

/// Whether TLS is used, and what is verified. Unix sockets never use it.
///
/// With a file of root certificates (`sslrootcert`, or `~/.postgresql/root.crt` if it is there) `require`
/// and the weaker modes verify as `verify-ca` does, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS only when the server refuses the login without.
    Allow,
    /// TLS when the server has it and the handshake succeeds, else none. The default.
    #[default]
    Prefer,
    /// TLS or no connection.
    Require,
    /// `Require`, and the server's certificate goes back to a root certificate.
    VerifyCa,
    /// `VerifyCa`, and the certificate is for the host's name.
    VerifyFull,
}

const MODES: [(SslMode, &str); 6] = [
    (SslMode::Disable, "disable"),
    (SslMode::Allow, "allow"),
    (SslMode::Prefer, "prefer"),
    (SslMode::Require, "require"),
    (SslMode::VerifyCa, "verify-ca"),
    (SslMode::VerifyFull, "verify-full"),
];

impl FromStr for SslMode {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        MODES.iter().find(|(_, name)| *name == text).map(|(mode, _)| *mode).ok_or_else(|| {
            let names: Vec<_> = MODES.iter().map(|(_, name)| *name).collect();
            ConnectError::configuration(format!(
                "sslmode={text} is not one of {}",
                names.join(", ")
            ))
        })
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MODES.iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name))
    }
}

/// The certificates that a server's certificate must go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those that this system trusts (`sslrootcert=system`), with [`SslMode::VerifyFull`] only.
    System,
    /// Those of a PEM file.
    File(PathBuf),
}

/// A client certificate chain and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// All settings of TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsSettings {
    pub(crate) mode: SslMode,
    pub(crate) root: Option<RootCertificates>,
    pub(crate) client: Option<ClientCertificate>,
    /// `~/.postgresql`, where `root.crt`, `postgresql.crt` and `postgresql.key` are found by default.
    pub(crate) defaults: Option<PathBuf>,
}

impl TlsSettings {
    /// Reads the files and makes the configuration of the handshake.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = ServerVerifier {
            roots: self.roots()?,
            check_name: self.mode == SslMode::VerifyFull,
            provider: Arc::clone(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConnectError::configuration(format!("TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match self.client_certificate() {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = read_certificates(&client.certificate)?;
                let key = read_key(&client.key)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    ConnectError::configuration(format!(
                        "client certificate {} and key {} do not work together: {error}",
                        client.certificate.display(),
                        client.key.display()
                    ))
                })?
            }
        };
        Ok(Arc::new(config))
    }

    fn default_file(&self, name: &str) -> Option<PathBuf> {
        self.defaults.as_ref().map(|dir| dir.join(name)).filter(|path| path.exists())
    }

    fn client_certificate(&self) -> Option<ClientCertificate> {
        self.client.clone().or_else(|| {
            let certificate = self.default_file("postgresql.crt")?;
            let key = self.default_file("postgresql.key")?;
            Some(ClientCertificate { certificate, key })
        })
    }

    /// The roots to verify against; none: nothing is verified.
    fn roots(&self) -> Result<Option<Roots>, ConnectError> {
        let file = match &self.root {
            Some(RootCertificates::System) if self.mode != SslMode::VerifyFull => {
                return Err(ConnectError::configuration(format!(
                    "sslmode={} is too weak for sslrootcert=system: use verify-full",
                    self.mode
                )));
            }
            Some(RootCertificates::System) => return system_roots().map(Some),
            Some(RootCertificates::File(path)) => Some(path.clone()),
            None => self.default_file("root.crt"),
        };
        let Some(path) = file else {
            return match self.mode {
                SslMode::VerifyCa | SslMode::VerifyFull => {
                    Err(ConnectError::configuration(format!(
                        "sslmode={} needs root certificates: name their file by sslrootcert, or use sslrootcert=system with verify-full",
                        self.mode
                    )))
                }
                _ => Ok(None),
            };
        };
        let exact = read_certificates(&path)?;
        let mut store = RootCertStore::empty();
        for certificate in &exact {
            store.add(certificate.clone()).map_err(|error| {
                ConnectError::configuration(format!(
                    "root certificate file {}: {error}",
                    path.display()
                ))
            })?;
        }
        Ok(Some(Roots { store, exact }))
    }
}

fn system_roots() -> Result<Roots, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(ConnectError::configuration(
            "sslrootcert=system: this system has no root certificates; install its package (ca-certificates) or name a file",
        ));
    }
    Ok(Roots { store, exact: Vec::new() })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let error = |why: String| {
        ConnectError::configuration(format!("certificate file {}: {why}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| error(why.to_string()))?;
    if certificates.is_empty() {
        return Err(error("no certificate in PEM form in it".to_owned()));
    }
    Ok(certificates)
}

/// Reads a private key; as in libpq others must have no access to it.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConnectError> {
    use std::os::unix::fs::MetadataExt;
    let error = |why: &str| {
        ConnectError::configuration(format!("private key file {}: {why}", path.display()))
    };
    let metadata = std::fs::metadata(path).map_err(|why| error(&why.to_string()))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(error("group or others can access it; chmod 600 it"));
    }
    PrivateKeyDer::from_pem_file(path)
        .map_err(|why| error(&format!("{why} (a key with a pass phrase is not supported)")))
}

#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    /// The same certificates: one that the server shows itself is trusted as it is.
    exact: Vec<CertificateDer<'static>>,
}

/// Verifies as much as the mode asks for. The handshake's signatures are always checked.
#[derive(Debug)]
struct ServerVerifier {
    roots: Option<Roots>,
    check_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &roots.store,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chain {
            Ok(()) => {}
            // The certificate of a self-signed server, given as root: OpenSSL takes it, a chain has
            // no place for it. Expiry is found before these errors and stays one.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            )) if roots.exact.contains(end_entity) => {}
            Err(error) => return Err(error),
        }
        if self.check_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The name that the server's certificate must have.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, ConnectError> {
    // The zone of a link-local address is no part of a certificate.
    let bare = host.split_once('%').map_or(host, |(address, _)| address);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        ConnectError::configuration(format!(
            "host `{host}` cannot be the name in a TLS certificate"
        ))
    })
}
