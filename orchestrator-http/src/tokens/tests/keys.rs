//! Own tokens and own keys, from their making to their end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orchestrator_types::Timestamp;

use super::super::*;
use super::{NOW, authority, clock, copy, new_token};

#[tokio::test]
async fn what_is_issued_verifies_until_it_expires() {
    let clock = clock();
    let authority = authority(SigningKeys::of(SigningKey::generate().unwrap()), clock.clone());
    let token = authority.issue(&NewToken { actor: Some("svc:console".to_owned()), ..new_token() }).unwrap();
    let claims = authority.verify(&token, Audience::Exec).await.unwrap();
    assert_eq!((claims.subject.as_str(), claims.actor.as_deref()), ("svc:billing", Some("svc:console")));
    clock.0.fetch_add(629_999, Ordering::SeqCst);
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    clock.0.fetch_add(1, Ordering::SeqCst);
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
}

#[test]
fn a_token_that_should_not_be_is_not_issued() {
    let authority = authority(SigningKeys::of(SigningKey::generate().unwrap()), clock());
    for (new, error) in [
        (NewToken { ttl: Duration::from_secs(3601), ..new_token() }, TokenError::Lifetime),
        (NewToken { ttl: Duration::ZERO, ..new_token() }, TokenError::Lifetime),
        (NewToken { workspace: None, ..new_token() }, TokenError::Workspace),
        (NewToken { workspace: Some("buildos-prod".parse().unwrap()), ..new_token() }, TokenError::Workspace),
        (NewToken { subject: String::new(), ..new_token() }, TokenError::Subject),
    ] {
        assert_eq!(authority.issue(&new), Err(error));
    }
}

#[tokio::test]
async fn inv_25_an_older_key_verifies_until_its_last_token_has_expired() {
    let (clock, old) = (clock(), SigningKey::generate().unwrap());
    let authority = authority(SigningKeys::of(copy(&old)), clock.clone());
    let token = authority.issue(&new_token()).unwrap();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());

    let until = Timestamp::from_unix_ms((NOW + 60) * 1000);
    let current = SigningKey::generate().unwrap();
    let older = vec![OlderKey { key: copy(&old), until }];
    authority.set_keys(SigningKeys { current: copy(&current), older }).unwrap();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    assert_eq!(authority.jwks().kids().collect::<Vec<_>>(), [current.kid(), old.kid()]);

    clock.0.fetch_add(90_000, Ordering::SeqCst);
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
    assert_eq!(authority.jwks().kids().collect::<Vec<_>>(), [current.kid()]);
}

#[tokio::test]
async fn inv_25_a_key_that_is_gone_refuses_what_it_had_verified() {
    let old = SigningKey::generate().unwrap();
    let authority = authority(SigningKeys::of(copy(&old)), clock());
    let token = authority.issue(&new_token()).unwrap();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    authority.set_keys(SigningKeys::of(SigningKey::generate().unwrap())).unwrap();
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
}
