//! The store in PostgreSQL: what it is started with, what it is refused for, and what the doctor says of it.

use orchestrator_conformance::servers::{Pem, PostgresOptions, PostgresServer, Stop, free_port};
use serde_json::Value;

use crate::kit::{Done, Install, finish, get};

/// What the doctor found of one thing: the result and the detail.
fn found(install: &Install, check: &str) -> (String, String) {
    let done = install.run(&["doctor", "--output", "json"]);
    let findings: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let finding = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("{check} is not in {findings}"));
    assert_eq!(done.status.success(), !findings.to_string().contains("\"fail\""), "{done:?}");
    (finding["result"].as_str().unwrap().to_owned(), finding["detail"].as_str().unwrap().to_owned())
}

/// A start is refused, and the doctor fails, with the same words and without the password.
#[track_caller]
fn refused(url: &str, words: &str) {
    let install = Install::on(url);
    for line in [install.run(&["serve"]).refused(), install.run(&["migrate"]).refused()] {
        assert!(line.contains(words) && !line.contains("c4n4ry"), "{line}");
    }
    let (result, detail) = found(&install, "store");
    assert!(result == "fail" && detail.contains(words) && !detail.contains("c4n4ry"), "{detail}");
}

#[test]
fn a_database_that_cannot_be_used_is_told_with_what_to_do() {
    let server = PostgresServer::shared();
    let url = server.fresh_database();
    let (front, name) = url.rsplit_once('/').unwrap();
    refused(&url.replace(":a-password-of-tests@", ":c4n4ry@"), "refuses the user or the password");
    refused(&url.replace("postgres:a-password-of-tests@", "c4n4ry:c4n4ry@"), "refuses the user or the password");
    refused(&format!("{front}/no_such_database"), "there is no such database: create it");
    let port = format!(":{}/", server.port());
    let nobody = url.replace(&port, &format!(":{}/", free_port())).replace(":a-password-of-tests@", ":c4n4ry@");
    refused(&nobody, "nothing answers at 127.0.0.1:");
    refused(&format!("{url}?sslmode=require"), "TLS");
    server.sql(
        &url,
        "create role crowded login password 'c4n4ry' connection limit 0; create role bare login password 'c4n4ry'",
    );
    refused(
        &format!("postgres://crowded:c4n4ry@127.0.0.1{port}{name}"),
        "no connection left: raise its `max_connections`",
    );
    let bare = Install::on(&format!("postgres://bare:c4n4ry@127.0.0.1{port}{name}"));
    let line = bare.run(&["serve"]).refused();
    assert!(line.contains("run `orchestrator migrate` once as the owner"), "{line}");
    assert!(found(&bare, "store").1.contains("lacks the migrations"));
}

#[test]
fn a_database_is_reached_by_tls_if_its_certificate_is_of_the_authority_that_is_named() {
    let (own, strange) = (certified(), certified());
    let options = PostgresOptions { tls: Some(own.clone()), ..PostgresOptions::default() };
    let server = PostgresServer::start_with(&options);
    let folder = tempfile::tempdir().unwrap();
    let url = |pem: &Pem, name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, &pem.authority).unwrap();
        format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), path.display())
    };
    let install = Install::on(&url(&own, "own.pem"));
    let node = install.serve();
    assert_eq!(get(&node.ops, "/readyz").0, 200);
    let plain = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) \
        where application_name = 'orchestrator' and not ssl";
    assert_eq!(server.select(&server.url(), plain), "0");
    refused(&url(&strange, "strange.pem"), "no TLS connection to Postgres: check `sslmode` and `sslrootcert`");
}

/// A certificate of 127.0.0.1, and its authority's.
fn certified() -> Pem {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&own, &issuer).unwrap();
    Pem { certificate: certificate.pem(), key: own.serialize_pem(), authority: authority_pem }
}

#[test]
fn migrations_are_run_by_whoever_comes_first_and_told() {
    let url = PostgresServer::shared().fresh_database();
    let install = Install::on(&url);
    let (result, detail) = found(&install, "store");
    assert!(result == "warn" && detail.contains("lacks the migrations 0001_schema"), "{detail}");
    let first = install.run(&["migrate", "--output", "json"]).json();
    assert_eq!(first["run"][0], "0001_schema");
    assert!(!first.to_string().contains("password"), "{first}");
    assert_eq!(install.run(&["migrate", "--output", "json"]).json()["run"].as_array().unwrap().len(), 0);
    assert!(install.run(&["migrate"]).well().ends_with("has the schema of this version"));
}

#[test]
fn several_nodes_may_start_at_once_on_an_empty_database_with_one_key_file() {
    let install = Install::on(&PostgresServer::shared().fresh_database());
    let nodes: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(|| install.serve())).collect();
        starting.into_iter().map(|node| node.join().unwrap()).collect()
    });
    nodes[0].run(&["workspace", "create", "shop-dev"]).well();
    nodes[0].fed(&["secret", "set", "shop-dev", "a"], "b").well();
    for node in &nodes {
        assert_eq!(get(&node.ops, "/readyz").0, 200);
        assert!(node.run(&["workspace", "list"]).well().contains("shop-dev"));
    }
    let (result, detail) = found(&install, "sealed keys");
    assert!(result == "ok" && detail.contains("of 1 workspaces open"), "{detail}");
    let (result, detail) = found(&install, "payloads");
    assert!(result == "warn" && detail.contains("share the folder"), "{detail}");
}

#[test]
fn a_node_with_another_key_file_is_refused() {
    let url = PostgresServer::shared().fresh_database();
    let (first, other, strange) = (Install::on(&url), Install::on(&url), Install::new());
    let node = first.serve();
    // None at all, and one of another install.
    assert!(other.run(&["serve"]).refused().contains("copy that of another node"));
    assert_eq!(found(&other, "key file").0, "fail");
    drop(strange.serve());
    std::fs::create_dir_all(other.path("orchestrator-data")).unwrap();
    std::fs::copy(strange.path("orchestrator-data/kek"), other.path("orchestrator-data/kek")).unwrap();
    let line = other.run(&["serve"]).refused();
    assert!(line.contains("key"), "{line}");
    assert_eq!(found(&other, "sealed keys").0, "fail");
    std::fs::copy(first.path("orchestrator-data/kek"), other.path("orchestrator-data/kek")).unwrap();
    let second = other.serve();
    assert_eq!((get(&node.ops, "/readyz").0, get(&second.ops, "/readyz").0), (200, 200));
}

#[test]
fn a_newer_schema_is_not_touched() {
    let server = PostgresServer::shared();
    let url = server.fresh_database();
    let install = Install::on(&url);
    install.run(&["migrate"]).well();
    server.sql(
        &url,
        "insert into orchestrator._sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'later', true, '\\x00', 0)",
    );
    refused(&url, "newer schema than this version knows: start a newer version");
    server.sql(
        &url,
        "delete from orchestrator._sqlx_migrations where version = 9999; \
         update orchestrator._sqlx_migrations set checksum = '\\x00' where version = 1",
    );
    refused(&url, "migration 1 of the database is not the one of this version");
}

#[test]
fn a_replica_is_refused_and_named() {
    let server = PostgresServer::start();
    let url = server.fresh_database();
    let install = Install::on(&url);
    drop(install.serve());
    server.become_replica();
    assert!(install.run(&["serve"]).refused().contains("use the URL of the primary"));
    let (result, detail) = found(&install, "store writes");
    assert!(result == "fail" && detail.contains("primary"), "{detail}");
}

#[test]
fn the_doctor_counts_connections_and_looks_at_the_disk_and_the_clock() {
    let options = PostgresOptions::default().setting("max_connections", "10").setting("fsync", "off");
    let server = PostgresServer::start_with(&options);
    let url = server.fresh_database();
    let few = Install::on(&url);
    few.run(&["migrate"]).well();
    let (result, detail) = found(&few, "store connections");
    assert!(result == "ok" && detail.contains("with 4 each"), "{detail}");
    let many = Install::with(&[("STORE__URL", &url), ("STORE__MAX_CONNECTIONS", "12")]);
    let (result, detail) = found(&many, "store connections");
    assert!(result == "fail" && detail.contains("lower `store.max_connections`"), "{detail}");
    let (result, detail) = found(&few, "store durability");
    assert!(result == "warn" && detail.contains("`fsync` of Postgres is off"), "{detail}");
    let (result, detail) = found(&few, "store clock");
    assert!(result == "ok" && detail.contains(" s apart"), "{detail}");
    assert!(found(&few, "store version").1.starts_with("PostgreSQL "));
}

#[test]
fn a_node_needs_no_more_than_the_role_of_the_application() {
    let server = PostgresServer::shared();
    let url = server.fresh_database();
    Install::on(&url).run(&["migrate"]).well();
    let name = url.rsplit('/').next().unwrap();
    let role = format!("node_of_{name}");
    server.sql(&url, &format!("create role {role} login password 'plain'"));
    let plain = format!("postgres://{role}:plain@127.0.0.1:{}/{name}", server.port());
    let install = Install::on(&plain);
    let line = install.run(&["serve"]).refused();
    assert!(line.contains("GRANT orchestrator_app TO"), "{line}");
    server.sql(&url, &format!("grant orchestrator_app to {role}"));
    let node = install.serve();
    node.run(&["workspace", "create", "shop-dev"]).well();
    assert_eq!(get(&node.ops, "/readyz").0, 200);
    // It sees no tenant's rows but those that it names.
    let count = "select count(*) from orchestrator.records";
    assert_ne!(server.select(&url, count), "0");
    assert_eq!(server.select(&plain, count), "0");
}

#[test]
fn the_owner_of_the_database_migrates_it_without_being_a_superuser() {
    let server = PostgresServer::start();
    server.sql(&server.url(), "create role owner login createrole password 'plain'");
    server.sql(&server.url(), "create database owned owner owner");
    let install = Install::on(&format!("postgres://owner:plain@127.0.0.1:{}/owned", server.port()));
    assert!(install.run(&["migrate"]).well().contains("0001_schema"));
    let node = install.serve();
    node.run(&["workspace", "create", "shop-dev"]).well();
    assert_eq!(get(&node.ops, "/readyz").0, 200);
}

#[test]
fn tokens_are_made_beside_a_node_without_migrating_anything() {
    let url = PostgresServer::shared().fresh_database();
    let install = Install::on(&url);
    let mint = ["token", "mint", "--aud", "orchestrator-control", "--sub", "a", "--scope", "orchestrator.admin"];
    let line = install.run(&mint).refused();
    assert!(line.contains("lacks the migrations"), "{line}");
    drop(install.serve());
    assert_eq!(install.run(&mint).well().split('.').count(), 3);
}

#[test]
fn inv_46_a_node_is_ready_only_while_its_database_answers() {
    let server = PostgresServer::start();
    let install = Install::on(&server.fresh_database());
    let node = install.serve();
    let until = |status: u16| {
        let begun = std::time::Instant::now();
        while get(&node.ops, "/readyz").0 != status {
            assert!(begun.elapsed() < crate::kit::PATIENCE, "never {status}");
        }
    };
    until(200);
    server.stop(Stop::Fast);
    until(503);
    assert_eq!(get(&node.ops, "/healthz").0, 200);
    assert!(get(&node.ops, "/metrics").1.contains("orchestrator_store_up 0"));
    server.start_again();
    until(200);
    server.pause();
    until(503);
    server.resume();
    until(200);
}

#[test]
fn commands_that_are_refused_by_a_database_say_so_in_one_line() {
    let install = Install::new();
    let mut command = install.command(&["doctor", "--output", "json"]);
    command.env("ORCHESTRATOR__STORE__URL", "postgres://u:c4n4ry@h");
    let done: Done = finish(command);
    assert!(done.out.contains("names no database") && !done.out.contains("c4n4ry"), "{done:?}");
}
