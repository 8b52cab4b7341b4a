//! Which addresses are not the public internet: the special-purpose registries of RFC 6890 and what came after it.
//!
//! **The one rule:** IPv4 is public unless the table names it; IPv6 is inside unless it is global unicast (`2000::/3`)
//! and the table does not name it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What sort of address is not the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Range {
    /// `0.0.0.0/8`, `::`: this host, this network.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10`: carrier-grade NAT.
    Shared,
    /// `169.254.0.0/16`, `fe80::/10`; the usual metadata services are in it.
    LinkLocal,
    /// Metadata and host services of clouds that lie outside the other ranges.
    Metadata,
    /// `fc00::/7`.
    UniqueLocal,
    /// `fec0::/10`, deprecated.
    SiteLocal,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Documentation.
    Documentation,
    /// Benchmarking between devices.
    Benchmarking,
    /// IETF protocol assignments and anycast relays.
    Protocol,
    /// An IPv4 address inside an IPv6 one: NAT64, 6to4, Teredo, IPv4-compatible and -translated.
    Translated,
    /// Reserved, or not global unicast.
    Reserved,
}

const V4: &[(Ipv4Addr, u32, Range)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Range::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Range::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Range::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Range::Loopback),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Range::Metadata),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Range::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Range::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Range::Protocol),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Range::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Range::Protocol),
    (Ipv4Addr::new(192, 52, 193, 0), 24, Range::Protocol),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Range::Protocol),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Range::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Range::Protocol),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Range::Benchmarking),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Range::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Range::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Range::Multicast),
    (Ipv4Addr::BROADCAST, 32, Range::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Range::Reserved),
];

/// NAT64's well-known prefix (RFC 6052).
const NAT64: Ipv6Addr = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]);
/// NAT64 of local use (RFC 8215).
const NAT64_LOCAL: Ipv6Addr = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]);
/// IPv4-translated (RFC 2765).
const SIIT: Ipv6Addr = v6([0, 0, 0, 0, 0xffff, 0, 0, 0]);
const TEREDO: Ipv6Addr = v6([0x2001, 0, 0, 0, 0, 0, 0, 0]);
const SIX_TO_FOUR: Ipv6Addr = v6([0x2002, 0, 0, 0, 0, 0, 0, 0]);

const V6: &[(Ipv6Addr, u32, Range)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Range::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Range::Loopback),
    (Ipv6Addr::UNSPECIFIED, 96, Range::Translated),
    (SIIT, 96, Range::Translated),
    (NAT64, 96, Range::Translated),
    (NAT64_LOCAL, 48, Range::Translated),
    (TEREDO, 32, Range::Translated),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0]), 48, Range::Benchmarking),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 23, Range::Protocol),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32, Range::Documentation),
    (SIX_TO_FOUR, 16, Range::Translated),
    (v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0]), 48, Range::Protocol),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0]), 20, Range::Documentation),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, Range::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, Range::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10, Range::SiteLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, Range::Multicast),
];

const GLOBAL_UNICAST: Ipv6Addr = v6([0x2000, 0, 0, 0, 0, 0, 0, 0]);

const fn v6(parts: [u16; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// The range that takes an address out of the public internet; `None` for a public one. An IPv4 address mapped into
/// IPv6 (`::ffff:0:0/96`) is judged as the IPv4 address that the system would connect to.
#[must_use]
pub fn range_of(address: IpAddr) -> Option<Range> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            V4.iter().find(|(base, length, _)| within4(address, *base, *length)).map(|(_, _, range)| *range)
        }
        IpAddr::V6(address) => V6
            .iter()
            .find(|(base, length, _)| within6(address, *base, *length))
            .map(|(_, _, range)| *range)
            .or_else(|| (!within6(address, GLOBAL_UNICAST, 3)).then_some(Range::Reserved)),
    }
}

/// Every IPv4 address that a translator could take out of this IPv6 address; empty for one that carries none.
pub(super) fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bits = address.to_bits();
    let at = |shift: u32| Ipv4Addr::from_bits((bits >> shift) as u32);
    if within6(address, SIX_TO_FOUR, 16) {
        return vec![at(80)];
    }
    if within6(address, TEREDO, 32) {
        // The server, and the client with its bits inverted.
        return vec![at(64), Ipv4Addr::from_bits(!(bits as u32))];
    }
    if within6(address, NAT64_LOCAL, 48) {
        // The operator picks the prefix length (RFC 6052, 2.2); bits 64 to 71 are left out.
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        let by48 = ((high & 0xffff) << 16) | ((low >> 40) & 0xffff);
        let by56 = ((high & 0xff) << 24) | ((low >> 32) & 0x00ff_ffff);
        let by64 = (low >> 24) & 0xffff_ffff;
        let folded = [by48, by56, by64].map(|wide| Ipv4Addr::from_bits(wide as u32));
        return folded.into_iter().chain([at(0)]).collect();
    }
    if [NAT64, SIIT, Ipv6Addr::UNSPECIFIED].iter().any(|prefix| within6(address, *prefix, 96)) {
        return vec![at(0)];
    }
    Vec::new()
}

fn within4(address: Ipv4Addr, base: Ipv4Addr, length: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    address.to_bits() & mask == base.to_bits()
}

fn within6(address: Ipv6Addr, base: Ipv6Addr, length: u32) -> bool {
    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    address.to_bits() & mask == base.to_bits()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn last4(base: Ipv4Addr, length: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(base.to_bits() | u32::MAX.checked_shr(length).unwrap_or(0))
    }

    fn last6(base: Ipv6Addr, length: u32) -> Ipv6Addr {
        Ipv6Addr::from_bits(base.to_bits() | u128::MAX.checked_shr(length).unwrap_or(0))
    }

    #[test]
    fn inv_26_each_range_is_refused_from_its_first_address_to_its_last() {
        for (base, length, range) in V4 {
            assert_eq!(
                base.to_bits(),
                base.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0),
                "{base}/{length}"
            );
            assert_eq!(range_of((*base).into()), Some(*range), "{base}");
            assert!(range_of(last4(*base, *length).into()).is_some(), "{base}/{length}");
            assert_eq!(range_of(base.to_ipv6_mapped().into()), Some(*range), "{base} mapped");
        }
        for (base, length, _) in V6 {
            assert_eq!(
                base.to_bits(),
                base.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0),
                "{base}/{length}"
            );
            assert!(range_of((*base).into()).is_some(), "{base}");
            assert!(range_of(last6(*base, *length).into()).is_some(), "{base}/{length}");
        }
    }

    #[test]
    fn inv_26_the_outer_neighbours_of_ranges_are_public() {
        let neighbours = [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.31.195.255",
            "192.31.197.0",
            "192.52.192.255",
            "192.52.194.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "192.175.47.255",
            "192.175.49.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            "2620:4f:7fff::",
            "2620:4f:8001::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
        ];
        for text in neighbours {
            assert_eq!(range_of(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn inv_26_what_is_not_global_unicast_is_refused() {
        for text in ["100::", "64:ff9a::1", "64:ff9b:2::", "1fff::", "4000::", "5f00::1", "8000::", "fbff::", "fe00::"]
        {
            assert!(range_of(text.parse().unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn the_ipv4_address_inside_is_found() {
        let table: &[(&str, &[&str])] = &[
            ("64:ff9b::a9fe:a9fe", &["169.254.169.254"]),
            ("2002:7f00:1::", &["127.0.0.1"]),
            ("::a00:1", &["10.0.0.1"]),
            ("::ffff:0:c0a8:101", &["192.168.1.1"]),
            // RFC 4380: server 65.54.227.120, client 192.0.2.45.
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", &["65.54.227.120", "192.0.2.45"]),
            ("2606:4700::1", &[]),
        ];
        for (text, inside) in table {
            let found: Vec<_> = embedded(text.parse().unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(&found, inside, "{text}");
        }
        // RFC 6052, 2.4: 192.0.2.33 under /48, /56, /64 and /96.
        for text in
            ["64:ff9b:1:c000:2:2100::", "64:ff9b:1:c0:0:221::", "64:ff9b:1:0:c0:2:2100::", "64:ff9b:1::c000:221"]
        {
            let inside = embedded(text.parse().unwrap());
            assert!(inside.contains(&Ipv4Addr::new(192, 0, 2, 33)), "{text}: {inside:?}");
        }
    }
}
