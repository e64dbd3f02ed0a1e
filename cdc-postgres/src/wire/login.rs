//! The login on a replication connection, as a state machine over messages.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Buf, BytesMut};
use cdc_pgconn::{ConnectConfig, ConnectError, PINNED_SETTINGS, ServerError};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;

use super::frames::Frame;

/// What a cancel request needs to name this session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CancelKey {
    /// The server's process, as in `pg_stat_replication.pid`.
    pub process_id: i32,
    pub(super) secret: i32,
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}

/// How far the proof of the password has come.
enum Proof {
    /// Nothing was asked for, or everything was answered.
    Settled,
    Scram(Box<sasl::ScramSha256>),
    /// SCRAM's last word came: the server knows the password too.
    ScramDone,
}

/// From the startup packet to the first ReadyForQuery.
pub(super) struct Login<'a> {
    config: &'a ConnectConfig,
    target: String,
    proof: Proof,
    authenticated: bool,
    /// What the server reported about itself: `server_version`, `server_encoding`, ...
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) key: Option<CancelKey>,
}

impl<'a> Login<'a> {
    pub(super) fn new(config: &'a ConnectConfig) -> Self {
        Self {
            config,
            target: config.display(),
            proof: Proof::Settled,
            authenticated: false,
            parameters: BTreeMap::new(),
            key: None,
        }
    }

    /// The startup packet. Settings in it go before those of role, database and `options`.
    pub(super) fn start(
        &self,
        application_name: &str,
        out: &mut BytesMut,
    ) -> Result<(), ConnectError> {
        let own = [
            ("user", self.config.user()),
            ("database", self.config.database()),
            ("replication", "database"),
            ("application_name", self.config.application_name().unwrap_or(application_name)),
        ];
        let options = self.config.options().map(|options| ("options", options));
        let parameters = own.into_iter().chain(options).chain(PINNED_SETTINGS);
        frontend::startup_message(parameters, out)
            .map_err(|error| ConnectError::configuration(format!("connection settings: {error}")))
    }

    /// Takes a message, appends the answer if there is one, and says whether the session is ready.
    pub(super) fn on_frame(
        &mut self,
        frame: Frame,
        out: &mut BytesMut,
    ) -> Result<bool, ConnectError> {
        match frame.kind {
            b'R' => self.on_authentication(&frame.body, out)?,
            b'E' => {
                return Err(ConnectError::from_server(
                    self.target.as_str(),
                    ServerError::parse(&frame.body),
                ));
            }
            b'N' => {}
            b'S' if self.authenticated => {
                let mut parts = frame.body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                    self.parameters.insert(name.into_owned(), value.into_owned());
                }
            }
            b'K' if self.authenticated => {
                let mut body = frame.body;
                let process_id = body.try_get_i32();
                let secret = body.try_get_i32();
                let (Ok(process_id), Ok(secret)) = (process_id, secret) else {
                    return Err(self.unexpected("a cancel key that is too short"));
                };
                self.key = Some(CancelKey { process_id, secret });
            }
            b'Z' if self.authenticated => return Ok(true),
            other => return Err(self.unexpected(&format!("message 0x{other:02x} in the login"))),
        }
        Ok(false)
    }

    fn on_authentication(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), ConnectError> {
        let Some((request, rest)) = body.split_first_chunk::<4>() else {
            return Err(self.unexpected("an authentication request that is too short"));
        };
        let answered = match i32::from_be_bytes(*request) {
            0 => match self.proof {
                // A server that skips SCRAM's last word has not shown that it knows the password.
                Proof::Scram(_) => return Err(self.unexpected("a login before the end of SCRAM")),
                Proof::Settled | Proof::ScramDone => {
                    self.authenticated = true;
                    Ok(())
                }
            },
            3 => frontend::password_message(self.password()?.reveal().as_bytes(), out),
            5 => {
                let Some(salt) = rest.first_chunk::<4>() else {
                    return Err(self.unexpected("a salt that is too short"));
                };
                let (user, password) = (self.config.user(), self.password()?);
                let hash = md5_hash(user.as_bytes(), password.reveal().as_bytes(), *salt);
                frontend::password_message(hash.as_bytes(), out)
            }
            10 => {
                if !rest.split(|byte| *byte == 0).any(|m| m == sasl::SCRAM_SHA_256.as_bytes()) {
                    return Err(self.unsupported("a SASL mechanism other than SCRAM-SHA-256"));
                }
                let password = self.password()?;
                let scram = sasl::ScramSha256::new(
                    password.reveal().as_bytes(),
                    sasl::ChannelBinding::unsupported(),
                );
                let answer =
                    frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), out);
                self.proof = Proof::Scram(Box::new(scram));
                answer
            }
            11 => match &mut self.proof {
                Proof::Scram(scram) => match scram.update(rest) {
                    Ok(()) => frontend::sasl_response(scram.message(), out),
                    Err(error) => Err(error),
                },
                _ => return Err(self.unexpected("a SASL challenge that was not asked for")),
            },
            12 => match &mut self.proof {
                Proof::Scram(scram) => {
                    let end = scram.finish(rest);
                    if end.is_ok() {
                        self.proof = Proof::ScramDone;
                    }
                    end
                }
                _ => return Err(self.unexpected("an end of SASL without its start")),
            },
            2 => return Err(self.unsupported("Kerberos V5")),
            7 | 8 => return Err(self.unsupported("GSSAPI")),
            9 => return Err(self.unsupported("SSPI")),
            13 => return Err(self.unsupported("OAuth")),
            other => return Err(self.unsupported(&format!("authentication method {other}"))),
        };
        answered.map_err(|error| {
            ConnectError::authentication(self.target.as_str(), format!("SCRAM failed: {error}"))
        })
    }

    fn password(&self) -> Result<cdc_pgconn::Password, ConnectError> {
        self.config.password().ok_or_else(|| self.config.missing_password())
    }

    fn unsupported(&self, method: &str) -> ConnectError {
        ConnectError::authentication(
            self.target.as_str(),
            format!(
                "it asks for {method}, which is not supported; use scram-sha-256, md5, password or trust in pg_hba.conf"
            ),
        )
    }

    fn unexpected(&self, what: &str) -> ConnectError {
        ConnectError::protocol(self.target.as_str(), format!("it sent {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, body: &[u8]) -> Frame {
        Frame { kind, body: body.to_vec().into() }
    }

    fn run(config: &ConnectConfig, frames: &[Frame]) -> Result<(bool, BytesMut), ConnectError> {
        let mut login = Login::new(config);
        let mut out = BytesMut::new();
        let mut ready = false;
        for frame in frames {
            ready = login.on_frame(frame.clone(), &mut out)?;
        }
        Ok((ready, out))
    }

    fn config() -> ConnectConfig {
        ConnectConfig::new("db", "app").with_password("secret")
    }

    #[test]
    fn the_startup_packet_asks_for_replication_and_pins_the_text_formats() {
        let config = config().with_options("-c DateStyle=German");
        let mut out = BytesMut::new();
        Login::new(&config).start("cdc", &mut out).unwrap();
        let text = String::from_utf8_lossy(&out).replace('\0', "|");
        for part in
            ["|replication|database|", "|DateStyle|ISO, MDY|", "|user|app|", "|database|app|"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("secret"));
    }

    #[test]
    fn trust_needs_no_password() {
        let config = ConnectConfig::new("db", "app");
        let frames = [
            frame(b'R', &[0, 0, 0, 0]),
            frame(b'S', b"server_encoding\0UTF8\0"),
            frame(b'K', &[0, 0, 0, 9, 1, 2, 3, 4]),
            frame(b'Z', b"I"),
        ];
        let (ready, out) = run(&config, &frames).unwrap();
        assert!(ready && out.is_empty());
    }

    #[test]
    fn a_plain_password_and_an_md5_password_are_answered() {
        let (_, out) = run(&config(), &[frame(b'R', &[0, 0, 0, 3])]).unwrap();
        assert_eq!(&out[..], b"p\0\0\0\x0bsecret\0");
        let (_, out) = run(&config(), &[frame(b'R', &[0, 0, 0, 5, 1, 2, 3, 4])]).unwrap();
        assert!(out[5..].starts_with(b"md5") && out.len() == 5 + 35 + 1);
    }

    #[test]
    fn a_server_that_skips_the_end_of_scram_is_not_believed() {
        let frames = [frame(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"), frame(b'R', &[0, 0, 0, 0])];
        let error = run(&config(), &frames).unwrap_err();
        assert!(matches!(error, ConnectError::Protocol { .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_answered_is_named() {
        let error = run(&config(), &[frame(b'R', &[0, 0, 0, 7])]).unwrap_err().to_string();
        assert!(error.contains("GSSAPI") && error.contains("pg_hba.conf"), "{error}");
        let nobody = ConnectConfig::new("db", "app");
        let error = run(&nobody, &[frame(b'R', &[0, 0, 0, 3])]).unwrap_err().to_string();
        assert!(error.contains("PGPASSWORD"), "{error}");
    }

    #[test]
    fn a_session_is_not_ready_before_its_authentication() {
        assert!(run(&config(), &[frame(b'Z', b"I")]).is_err());
    }

    proptest! {
        #[test]
        fn any_messages_are_answered_or_refused_without_panic(
            frames in prop::collection::vec((prop::sample::select(b"RSKZEN".to_vec()), any::<Vec<u8>>()), 0..6)
        ) {
            let frames: Vec<_> = frames.iter().map(|(kind, body)| frame(*kind, body)).collect();
            let _ = run(&config(), &frames);
        }
    }
}
