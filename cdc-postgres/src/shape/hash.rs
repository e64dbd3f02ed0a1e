//! Hashes in the place of texts, as Debezium's `column.mask.hash` makes them.

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

/// A hash function, under the names that Java has for it (`java.security.MessageDigest`).
///
/// ```
/// use cdc_postgres::HashAlgorithm;
///
/// assert_eq!("SHA-256".parse::<HashAlgorithm>()?, HashAlgorithm::Sha256);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// `MD5`.
    Md5,
    /// `SHA-1`, also `SHA` and `SHA1`.
    Sha1,
    /// `SHA-224`.
    Sha224,
    /// `SHA-256`.
    Sha256,
    /// `SHA-384`.
    Sha384,
    /// `SHA-512`.
    Sha512,
    /// `SHA-512/224`.
    Sha512_224,
    /// `SHA-512/256`.
    Sha512_256,
}

use HashAlgorithm as A;

const NAMES: [(&str, HashAlgorithm); 10] = [
    ("MD5", A::Md5),
    ("SHA-1", A::Sha1),
    ("SHA-224", A::Sha224),
    ("SHA-256", A::Sha256),
    ("SHA-384", A::Sha384),
    ("SHA-512", A::Sha512),
    ("SHA-512/224", A::Sha512_224),
    ("SHA-512/256", A::Sha512_256),
    ("SHA", A::Sha1),
    ("SHA1", A::Sha1),
];

impl FromStr for HashAlgorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().take(8).map(|(name, _)| *name).collect();
            format!("{name} MessageDigest not available; use one of {}", known.join(", "))
        })
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, known)| known == self).map_or("", |(name, _)| name))
    }
}

/// What of a text is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashVersion {
    /// Java's serialisation of the string (`column.mask.hash`).
    Serialized,
    /// Its bytes (`column.mask.hash.v2`).
    Bytes,
}

/// The hash of salt and text in lower-case hexadecimal.
pub(crate) fn hash(
    algorithm: HashAlgorithm,
    version: HashVersion,
    salt: &str,
    text: &str,
) -> String {
    let content = match version {
        HashVersion::Serialized => serialized(text),
        HashVersion::Bytes => text.as_bytes().to_vec(),
    };
    let parts = [salt.as_bytes(), &content];
    match algorithm {
        A::Md5 => hex::<Md5>(parts),
        A::Sha1 => hex::<Sha1>(parts),
        A::Sha224 => hex::<Sha224>(parts),
        A::Sha256 => hex::<Sha256>(parts),
        A::Sha384 => hex::<Sha384>(parts),
        A::Sha512 => hex::<Sha512>(parts),
        A::Sha512_224 => hex::<Sha512_224>(parts),
        A::Sha512_256 => hex::<Sha512_256>(parts),
    }
}

fn hex<D: Digest>(parts: [&[u8]; 2]) -> String {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A string as `java.io.ObjectOutputStream` writes it (Java Object Serialization Specification, chapter 6.4.2): the
/// stream's header, a tag, the length, and the text in modified UTF-8.
fn serialized(text: &str) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let low = |shift: u32| 0x80 | u8::try_from((unit >> shift) & 0x3f).unwrap_or_default();
        match unit {
            0x01..=0x7f => content.extend(u8::try_from(unit)),
            0 | 0x80..=0x7ff => {
                content.extend([0xc0 | u8::try_from(unit >> 6).unwrap_or_default(), low(0)]);
            }
            _ => content.extend([
                0xe0 | u8::try_from(unit >> 12).unwrap_or_default(),
                low(6),
                low(0),
            ]),
        }
    }
    let mut out = vec![0xac, 0xed, 0x00, 0x05];
    match u16::try_from(content.len()) {
        Ok(length) => {
            out.push(b't');
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(b'|');
            out.extend(u64::try_from(content.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    out.append(&mut content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_is_the_one_that_debezium_recorded() {
        assert_eq!(
            hash(A::Sha256, HashVersion::Serialized, "pepper", "sally@x.org"),
            "626f546fa6a052b279a3981d1d30ba6f0433de98784aeb5bc3c9c44ee013abe2"
        );
    }

    #[test]
    fn the_second_version_hashes_salt_and_text() {
        assert_eq!(hash(A::Md5, HashVersion::Bytes, "a", "bc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hash(A::Sha1, HashVersion::Bytes, "", "abc"),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        for (name, length) in [("SHA-224", 56), ("sha-384", 96), ("SHA-512/256", 64)] {
            let algorithm: HashAlgorithm = name.parse().unwrap();
            assert_eq!(hash(algorithm, HashVersion::Bytes, "s", "t").len(), length, "{name}");
        }
    }

    #[test]
    fn an_unknown_algorithm_is_refused_with_those_that_are_known() {
        let error = "SHA3-256".parse::<HashAlgorithm>().unwrap_err();
        assert!(error.contains("SHA3-256") && error.contains("SHA-512/256"), "{error}");
    }

    #[test]
    fn letters_beyond_ascii_are_serialised_as_java_does() {
        assert_eq!(serialized("é\0"), b"\xac\xed\0\x05t\0\x04\xc3\xa9\xc0\x80");
        assert_eq!(serialized("😀")[5..7], [0, 6]);
        assert_eq!(serialized(&"x".repeat(70_000))[4], b'|');
    }
}
