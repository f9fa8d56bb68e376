//! TLS to Postgres by rustls, with libpq's meaning of the modes.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{Endpoint, TlsMode};
use super::error::WarehouseError;

/// The TLS side of a connection to `endpoint`.
pub(super) fn connector(endpoint: &Endpoint) -> Result<MakeRustlsConnect, WarehouseError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match (endpoint.mode, &endpoint.ca_file) {
        (TlsMode::Disable | TlsMode::Prefer, _) | (TlsMode::Require, None) => Check::Nothing,
        // libpq: `require` with a CA file checks the authority.
        (TlsMode::Require | TlsMode::VerifyCa, _) => Check::Authority,
        (TlsMode::VerifyFull, _) => Check::AuthorityAndName,
    };
    let verifier = PostgresVerifier {
        trusted: match check {
            Check::Nothing => None,
            Check::Authority | Check::AuthorityAndName => {
                Some(trusted(endpoint.ca_file.as_deref(), Arc::clone(&provider))?)
            }
        },
        name_matters: matches!(check, Check::AuthorityAndName),
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| WarehouseError::Tls { source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

enum Check {
    Nothing,
    Authority,
    AuthorityAndName,
}

fn trusted(
    ca_file: Option<&Path>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, WarehouseError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let unreadable = |source| WarehouseError::CaFile {
                file: file.to_owned(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                roots
                    .add(certificate.map_err(unreadable)?)
                    .map_err(|source| WarehouseError::Tls { source })?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(WarehouseError::NoTrustedCertificate {
            file: ca_file.map(Path::to_owned),
        });
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|source| WarehouseError::Verifier { source })
}

/// Checks as much of the server's certificate as the mode asks for.
#[derive(Debug)]
struct PostgresVerifier {
    /// `None`: any certificate will do.
    trusted: Option<Arc<WebPkiServerVerifier>>,
    name_matters: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PostgresVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        match trusted.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name_matters => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
