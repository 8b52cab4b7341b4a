#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use arc_swap::ArcSwap;
use orchestrator_types::{Environment, Name, WorkspaceId};

use super::*;

#[derive(Clone)]
struct Place {
    environment: Environment,
    workspace: WorkspaceId,
    name: Name,
    version: u64,
}

impl Place {
    fn new(environment: &str, workspace: &str, name: &str, version: u64) -> Self {
        Self {
            environment: environment.parse().unwrap(),
            workspace: workspace.parse().unwrap(),
            name: name.parse().unwrap(),
            version,
        }
    }

    fn context(&self) -> SealContext<'_> {
        SealContext {
            environment: &self.environment,
            workspace: &self.workspace,
            name: &self.name,
            version: self.version,
        }
    }
}

fn ring() -> KeyRing {
    KeyRing::new(InstallKey::generate().unwrap(), vec![])
}

fn same(key: &InstallKey) -> InstallKey {
    InstallKey::parse(key.to_file_text().expose()).unwrap()
}

#[test]
fn inv_24_a_secret_opens_only_where_every_field_is_the_same() {
    let key = DataKey::generate().unwrap();
    let here = Place::new("dev", "buildos-dev", "stripe", 1);
    let there = Place::new("prod", "beauty-dev", "smtp", 2);
    let sealed = key.seal(&here.context(), b"value").unwrap();
    for swapped in 0u8..16 {
        let mut place = here.clone();
        if swapped & 1 != 0 {
            place.environment = there.environment.clone();
        }
        if swapped & 2 != 0 {
            place.workspace = there.workspace.clone();
        }
        if swapped & 4 != 0 {
            place.name = there.name.clone();
        }
        if swapped & 8 != 0 {
            place.version = there.version;
        }
        let opened = key.open(&place.context(), &sealed);
        match swapped {
            0 => assert_eq!(opened.unwrap().as_slice(), b"value"),
            _ => assert_eq!(opened.unwrap_err(), SealError::Refused, "fields {swapped:04b}"),
        }
    }
}

#[test]
fn inv_24_two_fields_that_trade_values_do_not_open() {
    let key = DataKey::generate().unwrap();
    for (here, there) in [
        (Place::new("dev", "a-dev", "prod", 7), Place::new("prod", "a-dev", "dev", 7)),
        (Place::new("dev", "a-dev", "b-dev", 7), Place::new("dev", "b-dev", "a-dev", 7)),
        (Place::new("dev", "a-dev", "b1", 2), Place::new("dev", "a-dev", "b", 12)),
        (Place::new("dev", "ab-dev", "c", 1), Place::new("dev", "a-dev", "bc", 1)),
        (Place::new("dev", "a-dev", "1", 2), Place::new("dev", "a-dev", "2", 1)),
    ] {
        let sealed = key.seal(&here.context(), b"value").unwrap();
        assert!(key.open(&here.context(), &sealed).is_ok());
        assert_eq!(key.open(&there.context(), &sealed).unwrap_err(), SealError::Refused);
    }
}

#[test]
fn inv_24_no_bit_of_a_sealed_value_can_change() {
    let key = DataKey::generate().unwrap();
    let place = Place::new("dev", "buildos-dev", "stripe", 1);
    let sealed = key.seal(&place.context(), b"value").unwrap();
    for bit in 0..sealed.as_bytes().len() * 8 {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = Sealed::from_bytes(bytes).and_then(|changed| key.open(&place.context(), &changed));
        assert!(opened.is_err(), "bit {bit}");
    }
    for length in 0..sealed.as_bytes().len() {
        let cut = sealed.as_bytes()[..length].to_vec();
        assert!(Sealed::from_bytes(cut).and_then(|cut| key.open(&place.context(), &cut)).is_err(), "length {length}");
    }
}

#[test]
fn inv_24_a_data_key_opens_only_for_its_workspace() {
    let ring = ring();
    let (here, there) = (Place::new("dev", "buildos-dev", "a", 1), Place::new("dev", "beauty-dev", "a", 1));
    let key = DataKey::generate().unwrap();
    let wrapped = ring.wrap(&key, &here.environment, &here.workspace).unwrap();
    assert_eq!(ring.unwrap(&wrapped, &here.environment, &here.workspace).unwrap().id(), key.id());
    let elsewhere = ring.unwrap(&wrapped, &there.environment, &there.workspace);
    assert_eq!(elsewhere.unwrap_err(), SealError::Refused);
}

#[test]
fn inv_24_what_is_sealed_for_one_use_does_not_open_for_another() {
    let ring = ring();
    let environment: Environment = "dev".parse().unwrap();
    let sealed = ring.seal_install(&environment, "buildos-dev", &[7; 32]).unwrap();
    assert_eq!(ring.open_install(&environment, "buildos-dev", &sealed).unwrap().as_slice(), [7; 32]);
    assert_eq!(ring.open_install(&environment, "beauty-dev", &sealed).unwrap_err(), SealError::Refused);
    let posing = WrappedKey { key_id: sealed.key_id, bytes: sealed.bytes };
    let opened = ring.unwrap(&posing, &environment, &"buildos-dev".parse().unwrap());
    assert_eq!(opened.unwrap_err(), SealError::Refused);
}

#[test]
fn inv_16_a_ciphertext_of_one_environment_does_not_open_in_another() {
    // Database and key file copied: the same ring, the same rows, another environment.
    let ring = ring();
    let (dev, prod) = (Place::new("dev", "buildos-dev", "a", 1), Place::new("prod", "buildos-dev", "a", 1));
    let key = DataKey::generate().unwrap();
    let wrapped = ring.wrap(&key, &dev.environment, &dev.workspace).unwrap();
    let sealed = key.seal(&dev.context(), b"value").unwrap();
    let own = ring.seal_install(&dev.environment, "signing", b"value").unwrap();
    assert!(ring.unwrap(&wrapped, &dev.environment, &dev.workspace).is_ok());
    assert_eq!(ring.unwrap(&wrapped, &prod.environment, &prod.workspace).unwrap_err(), SealError::Refused);
    assert_eq!(key.open(&prod.context(), &sealed).unwrap_err(), SealError::Refused);
    assert_eq!(ring.open_install(&prod.environment, "signing", &own).unwrap_err(), SealError::Refused);
}

#[test]
fn inv_24_an_older_key_opens_while_it_is_in_the_ring_and_is_wrapped_again() {
    let (old, new) = (InstallKey::generate().unwrap(), InstallKey::generate().unwrap());
    let place = Place::new("dev", "buildos-dev", "a", 1);
    let (environment, workspace) = (&place.environment, &place.workspace);
    let before = KeyRing::new(same(&old), vec![]);
    let key = DataKey::generate().unwrap();
    let wrapped = before.wrap(&key, environment, workspace).unwrap();
    let signing = before.seal_install(environment, "signing", b"value").unwrap();
    assert_eq!(before.rewrap(&wrapped, environment, workspace), Ok(None));

    let during = KeyRing::new(same(&new), vec![same(&old)]);
    assert_eq!(during.unwrap(&wrapped, environment, workspace).unwrap().id(), key.id());
    let again = during.rewrap(&wrapped, environment, workspace).unwrap().unwrap();
    let resealed = during.reseal_install(environment, "signing", &signing).unwrap().unwrap();
    assert_eq!((again.key_id, resealed.key_id), (new.id(), new.id()));
    assert_eq!(during.missing([old.id(), new.id()]), []);

    let after = KeyRing::new(new, vec![]);
    assert_eq!(after.missing([wrapped.key_id, again.key_id]), [old.id()]);
    assert_eq!(after.unwrap(&wrapped, environment, workspace).unwrap_err(), SealError::UnknownKey);
    assert_eq!(after.unwrap(&again, environment, workspace).unwrap().id(), key.id());
    assert_eq!(after.open_install(environment, "signing", &resealed).unwrap().as_slice(), b"value");
}

#[test]
fn inv_24_a_hundred_readers_open_while_the_install_key_rotates() {
    struct State {
        ring: KeyRing,
        wrapped: WrappedKey,
    }
    let place = Place::new("dev", "buildos-dev", "a", 1);
    let key = DataKey::generate().unwrap();
    let sealed = key.seal(&place.context(), b"value").unwrap();
    let mut current = InstallKey::generate().unwrap();
    let ring = KeyRing::new(same(&current), vec![]);
    let wrapped = ring.wrap(&key, &place.environment, &place.workspace).unwrap();
    let live = ArcSwap::from_pointee(State { ring, wrapped });
    let (stop, opened, start) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(101));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                start.wait();
                loop {
                    let state: Arc<State> = live.load_full();
                    let key = state.ring.unwrap(&state.wrapped, &place.environment, &place.workspace).unwrap();
                    assert_eq!(key.open(&place.context(), &sealed).unwrap().as_slice(), b"value");
                    opened.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        start.wait();
        for _ in 0..20 {
            let next = InstallKey::generate().unwrap();
            let held = live.load().wrapped.clone();
            let both = KeyRing::new(same(&next), vec![same(&current)]);
            let again = both.rewrap(&held, &place.environment, &place.workspace).unwrap().unwrap();
            live.store(Arc::new(State { ring: both, wrapped: held }));
            live.store(Arc::new(State { ring: KeyRing::new(same(&next), vec![]), wrapped: again }));
            current = next;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(opened.into_inner() >= 100);
}

#[test]
fn a_key_is_read_from_base64_and_hex_and_from_nothing_else() {
    let key = InstallKey::generate().unwrap();
    let text = key.to_file_text();
    let hex = data_encoding::HEXUPPER.encode(&data_encoding::BASE64.decode(text.expose().as_bytes()).unwrap());
    for written in [text.expose().to_owned(), format!("  {}\n", text.expose()), hex.clone(), hex.to_lowercase()] {
        assert_eq!(InstallKey::parse(&written).unwrap().id(), key.id());
    }
    for (wrong, why) in [
        (String::new(), KeyError::Malformed),
        ("secret".into(), KeyError::Malformed),
        (hex[..62].into(), KeyError::Malformed),
        (format!("{hex}00"), KeyError::Malformed),
        (format!("{}é", &hex[..62]), KeyError::Malformed),
        ("0".repeat(64), KeyError::Weak),
    ] {
        assert_eq!(InstallKey::parse(&wrong).unwrap_err(), why);
    }
}

#[test]
fn inv_23_nothing_of_a_key_is_printed() {
    let (install, data) = (InstallKey::generate().unwrap(), DataKey::generate().unwrap());
    let bytes = install.expose();
    let shown = format!("{install:?} {data:?} {:?}", KeyRing::new(same(&install), vec![]));
    assert!(shown.contains(&install.id().to_string()) && shown.contains("[redacted]"));
    for part in bytes.windows(4) {
        assert!(!shown.contains(&data_encoding::HEXLOWER.encode(part)));
    }
}

#[test]
fn sealed_forms_survive_their_json() {
    let ring = ring();
    let place = Place::new("dev", "buildos-dev", "a", 1);
    let key = DataKey::generate().unwrap();
    let wrapped = ring.wrap(&key, &place.environment, &place.workspace).unwrap();
    assert_eq!(wrapped.bytes.len(), 12 + 32 + 16);
    let sealed = key.seal(&place.context(), "wörd".as_bytes()).unwrap();
    let json = serde_json::to_string(&(&wrapped, &sealed)).unwrap();
    let (back, sealed_back): (WrappedKey, Sealed) = serde_json::from_str(&json).unwrap();
    assert_eq!((&back, &sealed_back), (&wrapped, &sealed));
    assert_eq!(sealed_back.key_id(), key.id());
    assert_eq!(key.open_secret(&place.context(), &sealed_back).unwrap().expose(), "wörd");
    assert!(serde_json::from_str::<Sealed>("\"AAAA\"").is_err());
}

#[test]
fn the_same_value_is_sealed_differently_each_time() {
    let key = DataKey::generate().unwrap();
    let place = Place::new("dev", "buildos-dev", "a", 1);
    let sealed: std::collections::BTreeSet<Vec<u8>> =
        (0..1_000).map(|_| key.seal(&place.context(), b"").unwrap().into_bytes()[9..21].to_vec()).collect();
    assert_eq!(sealed.len(), 1_000);
}
