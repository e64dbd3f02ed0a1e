//! `SO_RCVLOWAT`: how many bytes must have come before a socket counts as readable.
//!
//! No crate has a safe wrapper of this option, so the one unsafe call of this workspace is here.
#![allow(unsafe_code)]

use std::io;

use tokio::net::TcpStream;

/// Sets the option. Lowering it below what waits makes the socket readable at once, in epoll too.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set(socket: &TcpStream, bytes: u32) -> io::Result<()> {
    use std::ffi::{c_int, c_void};
    use std::os::fd::AsRawFd;

    let value = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    let pointer: *const c_int = &value;
    let length = libc::socklen_t::try_from(size_of::<c_int>()).unwrap_or_default();
    // SAFETY: the descriptor is open while `socket` is borrowed; `pointer` is valid for reads of `length` bytes during the
    // call, and the kernel keeps no reference to it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            pointer.cast::<c_void>(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Other systems have no such option, or one that their readiness events do not honour.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set(_: &TcpStream, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
