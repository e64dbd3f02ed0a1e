//! The certificates of a throwaway server: an authority made for it, and one for `localhost`.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::{
    account::Account,
    error::{Error, Result, Tried},
};

/// Writes `ca.pem`, `server.pem` (for `localhost` and 127.0.0.1) and `server-key.pem` into
/// `folder`, as files of `account`. The authority's own key is forgotten.
pub(crate) fn write(folder: &Path, account: Account) -> Result<()> {
    let (authority, certificate, key) = generate().map_err(|error| Error::Program {
        what: "making the server's certificate".to_owned(),
        detail: error.to_string(),
    })?;
    for (name, mode, text) in [
        ("ca.pem", 0o644, authority),
        ("server.pem", 0o644, certificate),
        ("server-key.pem", 0o600, key),
    ] {
        let file = folder.join(name);
        fs::write(&file, text).tried("writing", &file)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).tried("closing", &file)?;
        account.own(&file)?;
    }
    Ok(())
}

/// Authority, server certificate and the server's key, each as PEM.
fn generate() -> std::result::Result<(String, String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a test server");
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok((
        pem("CERTIFICATE", authority.der()),
        pem("CERTIFICATE", certificate.der()),
        pem("PRIVATE KEY", &key.serialize_der()),
    ))
}

/// The textual encoding of RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes make a line of 64 characters.
    for line in der.chunks(48) {
        text.extend(line.chunks(3).flat_map(base64));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// The four characters of one to three bytes (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> [char; 4] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or(0));
    let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
    [18, 12, 6, 0].map(|shift| {
        let place = 3 - shift / 6;
        let index = usize::try_from((bits >> shift) & 63).unwrap_or(0);
        if place <= bytes.len() { char::from(ALPHABET[index]) } else { '=' }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let encode = |text: &str| text.as_bytes().chunks(3).flat_map(base64).collect::<String>();
        for (text, code) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(text), code);
        }
        assert_eq!(encode("\u{3ff}?>"), "z78/Pg==");
    }

    #[test]
    fn each_server_has_an_authority_of_its_own() {
        let (first, certificate, key) = generate().unwrap();
        let (second, _, _) = generate().unwrap();
        assert_ne!(first, second);
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(key.ends_with("\n-----END PRIVATE KEY-----\n"));
    }
}
