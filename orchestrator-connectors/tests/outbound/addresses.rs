//! The guard's judgement of literals, in every spelling. Nothing connects.

use std::net::SocketAddr;

use orchestrator_connectors::egress::{EgressPolicy, EgressRefusal};
use url::Url;

use crate::upstream::allowing;

/// Hosts that lead inside; each is put into `http://HOST/`.
const INSIDE: &[&str] = &[
    // loopback, plainly and in every spelling that a parser takes
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0x7F.1",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "00000177.0.0.1",
    "127.0x1",
    "0x7f.0.1",
    "127.000.000.001",
    "\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}",
    "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    "127\u{3002}0\u{3002}0\u{3002}1",
    "127.0.0.1:80",
    "127.0.0.1:65535",
    "%31%32%37.0.0.1",
    "12%37.1",
    // this network
    "0",
    "0.0.0.0",
    "0.0.0.0.",
    "0x0",
    "00",
    "0.1.2.3",
    "0.255.255.255",
    // private
    "10.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "10.1",
    "167772161",
    "0xa000001",
    "012.0.0.1",
    "172.16.0.0",
    "172.16.0.1",
    "172.31.255.255",
    "2886729729",
    "0xac.0x10.0.1",
    "192.168.0.0",
    "192.168.1.1",
    "192.168.255.255",
    "3232235777",
    "0300.0250.1.1",
    "192.168.257",
    // shared, link-local, metadata
    "100.64.0.0",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.170.2",
    "169.254.255.255",
    "168.63.129.16",
    "192.0.0.192",
    // documentation, benchmarking, protocol
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.0.2.255",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "192.31.196.1",
    "192.52.193.1",
    "192.175.48.1",
    // multicast, reserved, broadcast
    "224.0.0.1",
    "232.1.2.3",
    "239.255.255.250",
    "239.255.255.255",
    "240.0.0.1",
    "250.1.1.1",
    "255.255.255.254",
    "255.255.255.255",
    "4294967295",
    "0xffffffff",
    "037777777777",
    // IPv6 of this host and its neighbours
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::1]:8080",
    "[::2]",
    "[fe80::1]",
    "[FE80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[feff::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fdff:ffff::1]",
    "[ff00::1]",
    "[ff02::1]",
    "[ff0e::1]",
    // zone ids
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1%25lo]",
    "[fe80::1%251]",
    // IPv4 within IPv6: mapped, compatible, translated
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:192.168.1.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::10.0.0.1]",
    "[::8.8.8.8]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0:10.0.0.1]",
    // NAT64, 6to4, Teredo
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::127.0.0.1]",
    "[64:ff9b:1:a9fe:a9:fe00::]",
    "[64:ff9b:1:fffe::a00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2002:a00:1::1]",
    "[2002:808:808::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001::1]",
    // documentation, benchmarking, protocol, discard, segment routing, not global unicast
    "[2001:db8::1]",
    "[3fff::1]",
    "[3fff:fff::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[2001:1ff::1]",
    "[100::1]",
    "[100:0:0:1::1]",
    "[5f00::1]",
    "[4000::1]",
    "[2620:4f:8000::1]",
];

/// Public literals.
const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "11.0.0.1",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "134744072",
    "0x08080808",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.1.1",
    "192.169.1.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "[2606:4700:4700::1111]",
    "[2001:4860:4860::8888]",
    "[2a00:1450:4001::1]",
    "[2001:200::1]",
    "[2003::1]",
    "[2620:fe::fe]",
    "[::ffff:8.8.8.8]",
    "1.1.1.1:8443",
];

fn refused(policy: &EgressPolicy, host: &str) -> bool {
    match Url::parse(&format!("http://{host}/")) {
        Ok(url) => policy.check_url(&url) == Err(EgressRefusal::Forbidden(orchestrator_connectors::egress::Forbidden)),
        // What does not parse is never called.
        Err(_) => true,
    }
}

#[test]
fn inv_26_no_spelling_of_an_inner_address_is_let_through() {
    assert!(INSIDE.len() >= 120, "{}", INSIDE.len());
    let let_through: Vec<_> = INSIDE.iter().filter(|host| !refused(&EgressPolicy::default(), host)).collect();
    assert!(let_through.is_empty(), "{let_through:?}");
}

#[test]
fn inv_26_public_addresses_are_not_refused() {
    assert!(PUBLIC.len() >= 20);
    let refused: Vec<_> = PUBLIC.iter().filter(|host| refused(&EgressPolicy::default(), host)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn inv_26_what_the_install_allows_is_let_through_and_its_neighbours_are_not() {
    let policy = allowing(&["10.1.0.0/16", "fd00:1::/32", "127.0.0.1/32"]);
    for host in ["10.1.0.1", "10.1.255.255", "[fd00:1::9]", "127.0.0.1", "2130706433", "[::ffff:10.1.2.3]"] {
        assert!(!refused(&policy, host), "{host}");
    }
    for host in
        ["10.0.255.255", "10.2.0.0", "[fd00:2::9]", "127.0.0.2", "[::1]", "169.254.169.254", "[64:ff9b::10.1.0.1]"]
    {
        assert!(refused(&policy, host), "{host}");
    }
}

#[test]
fn inv_26_an_allowed_translator_leads_only_where_calls_may_go() {
    let policy = allowing(&["64:ff9b::/96", "2002::/16", "10.1.0.0/16"]);
    for host in ["[64:ff9b::8.8.8.8]", "[64:ff9b::10.1.0.1]", "[2002:808:808::1]"] {
        assert!(!refused(&policy, host), "{host}");
    }
    for host in ["[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::10.2.0.1]", "[2002:a9fe:a9fe::1]"] {
        assert!(refused(&policy, host), "{host}");
    }
}

#[test]
fn inv_26_own_listeners_are_refused_though_their_addresses_are_allowed() {
    let own: Vec<SocketAddr> = vec!["127.0.0.1:8080".parse().unwrap(), "[::1]:9090".parse().unwrap()];
    let policy = allowing(&["0.0.0.0/0", "::/0"]).refusing_own(own);
    for host in [
        "127.0.0.1:8080",
        "2130706433:8080",
        "[::ffff:127.0.0.1]:8080",
        "0.0.0.0:8080",
        "[::]:8080",
        "[::1]:9090",
        "[::]:9090",
        "[64:ff9b::127.0.0.1]:8080",
        "[2002:7f00:1::]:8080",
        "[64:ff9b:1::127.0.0.1]:8080",
        "[64:ff9b:1:7f00:0:100::]:8080",
    ] {
        assert!(refused(&policy, host), "{host}");
    }
    for host in ["127.0.0.1:8081", "127.0.0.1", "127.0.0.2:8080", "[::1]:8080", "10.0.0.1:8080", "8.8.8.8:9090"] {
        assert!(!refused(&policy, host), "{host}");
    }
}

#[test]
fn inv_26_a_listener_on_every_address_is_refused_on_each_of_this_machine() {
    for wildcard in ["0.0.0.0:8080", "[::]:8080"] {
        let policy = allowing(&["0.0.0.0/0", "::/0"]).refusing_own(vec![wildcard.parse().unwrap()]);
        for host in ["127.0.0.1:8080", "127.9.9.9:8080", "0.0.0.0:8080", "[::1]:8080", "[64:ff9b::127.0.0.1]:8080"] {
            assert!(refused(&policy, host), "{wildcard} {host}");
        }
        // An address for documentation is not this machine's.
        for host in ["127.0.0.1:8081", "192.0.2.1:8080"] {
            assert!(!refused(&policy, host), "{wildcard} {host}");
        }
    }
}

#[test]
fn the_default_port_of_a_scheme_counts_as_named() {
    let own = vec!["127.0.0.1:80".parse().unwrap(), "127.0.0.1:443".parse().unwrap()];
    let policy = allowing(&["127.0.0.0/8"]).refusing_own(own);
    for url in ["http://127.0.0.1/", "https://127.0.0.1/", "https://127.0.0.1:80/"] {
        assert!(policy.check_url(&url.parse().unwrap()).is_err(), "{url}");
    }
}

#[test]
fn what_is_not_http_or_carries_credentials_is_not_called() {
    let check = |text: &str| EgressPolicy::default().check_url(&Url::parse(text).unwrap());
    for url in ["ftp://8.8.8.8/", "file:///etc/passwd", "gopher://8.8.8.8/", "data:,x", "unix:/run/x", "ws://8.8.8.8/"]
    {
        assert_eq!(check(url), Err(EgressRefusal::NotHttp), "{url}");
    }
    for url in
        ["http://user@8.8.8.8/", "http://user:pass@8.8.8.8/", "http://:pass@8.8.8.8/", "http://1.1.1.1@127.0.0.1/"]
    {
        assert_eq!(check(url), Err(EgressRefusal::Userinfo), "{url}");
    }
    assert_eq!(check("https://name.example/"), Ok(()));
}
