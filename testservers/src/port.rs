//! A port that is free now and stays free while its server is down.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Where ports are looked for, unless the system hands some of these out by itself.
const USUAL: RangeInclusive<u16> = 20_000..=32_000;

/// Takes a port and makes the folder `parent/PORT`, which reserves it among this user's servers.
///
/// Ports that the system gives to outgoing connections are left alone: a client that tries again
/// and again while its server is down would sooner or later get that very port as its own, connect
/// to itself and keep the server from starting.
pub(crate) fn reserve(parent: &Path) -> Result<(u16, PathBuf)> {
    let range = outside(USUAL, outgoing());
    for _ in 0..2_000 {
        let port = fastrand::u16(range.clone());
        let folder = parent.join(port.to_string());
        if folder.exists() || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            continue;
        }
        match fs::create_dir(&folder) {
            Ok(()) => return Ok((port, folder)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(Error::Io { what: format!("making {}", folder.display()), source });
            }
        }
    }
    Err(Error::Setting(format!(
        "no free port between {} and {}: stop servers that are not needed",
        range.start(),
        range.end()
    )))
}

/// The range of ports that the system gives to outgoing connections (ip(7)).
fn outgoing() -> Option<RangeInclusive<u16>> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Some(low..=high),
        _ => None,
    }
}

/// The larger part of `usual` that lies outside `taken`; all of it where less than 1000 would be
/// left.
fn outside(usual: RangeInclusive<u16>, taken: Option<RangeInclusive<u16>>) -> RangeInclusive<u16> {
    let Some(taken) = taken else { return usual };
    let below = *usual.start()..=taken.start().saturating_sub(1).min(*usual.end());
    let above = taken.end().saturating_add(1).max(*usual.start())..=*usual.end();
    let larger = if below.len() >= above.len() { below } else { above };
    if larger.len() >= 1_000 { larger } else { usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_outgoing_connections_are_left_alone() {
        assert_eq!(outside(20_000..=32_000, Some(32_768..=60_999)), 20_000..=32_000);
        assert_eq!(outside(20_000..=32_000, Some(30_000..=60_999)), 20_000..=29_999);
        assert_eq!(outside(20_000..=32_000, Some(1_024..=25_000)), 25_001..=32_000);
        assert_eq!(outside(20_000..=32_000, Some(1_024..=65_535)), 20_000..=32_000);
        assert_eq!(outside(20_000..=32_000, None), 20_000..=32_000);
    }
}
