//! Free ports that stay free while a server is away.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below what systems give to outgoing connections: while a server is stopped, nobody's connection gets its port, and
/// nobody who tries to reach it is connected to itself.
const FIRST: u64 = 20_000;
const COUNT: u64 = 12_000;

/// A port of loopback that nobody listens on.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    // Seeded anew in each process and at each call: processes that look at once look at different places.
    for _ in 0..COUNT {
        let random = RandomState::new().build_hasher().finish();
        let Ok(port) = u16::try_from(FIRST + random % COUNT) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port between {FIRST} and {}", FIRST + COUNT);
}
