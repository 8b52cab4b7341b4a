//! The private servers: they answer, fail as they are told, and are gone when their test is.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use orchestrator_conformance::servers::{
    Pem, PostgresOptions, PostgresServer, RedisCluster, RedisOptions, RedisServer, Stop, postgres, redis,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// What this program does, in the place of tests, when it is run by one of them.
const PART: &str = "ORCHESTRATOR_TEST_PART";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn pem() -> Pem {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority of tests");
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    Pem { certificate: certificate.pem(), key: own.serialize_pem(), authority: authority_pem }
}

#[test]
fn databases_are_empty_apart_and_durable() {
    let server = PostgresServer::shared();
    let (one, other) = (postgres::fresh_database(), server.fresh_database());
    server.sql(&one, "create table things (id int); insert into things values (1), (2)");
    assert_eq!(server.select(&one, "select id from things order by id"), "1\n2");
    assert_eq!(server.select(&other, "select count(*) from pg_tables where schemaname = 'public'"), "0");
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(server.select(&one, &format!("show {setting}")), "on", "{setting}");
    }
    let name = one.rsplit('/').next().unwrap();
    assert_eq!(server.select(&server.copy_of(name), "select count(*) from things"), "2");
    let wrong = one.replace(":a-password-of-tests@", ":another@");
    let refused = std::panic::catch_unwind(|| server.select(&wrong, "select 1")).unwrap_err();
    assert!(refused.downcast_ref::<String>().unwrap().contains("password authentication failed"));
}

#[test]
fn postgres_keeps_what_was_committed_however_it_ended() {
    let server = PostgresServer::start();
    let url = server.fresh_database();
    server.sql(&url, "create table things (id int)");
    let ends: [&dyn Fn(); 3] = [&|| server.stop(Stop::Fast), &|| server.stop(Stop::Immediate), &|| server.kill()];
    for (id, end) in ends.into_iter().enumerate() {
        server.sql(&url, &format!("insert into things values ({id})"));
        end();
        assert!(!listens(server.port()));
        server.start_again();
    }
    assert_eq!(server.select(&url, "select id from things order by id"), "0\n1\n2");
    assert!(server.log().contains("automatic recovery in progress"), "{}", server.log());
}

#[test]
fn a_paused_postgres_answers_nothing_until_it_goes_on() {
    let server = PostgresServer::start();
    let url = server.fresh_database();
    server.pause();
    // The system still accepts the connection.
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    std::io::Write::write_all(&mut socket, &[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0; 1];
    assert!(socket.read(&mut answer).is_err(), "it answered");
    server.resume();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N", "it serves no TLS");
    assert_eq!(server.select(&url, "select 1"), "1");
    server.terminate_connections();
    server.pause();
    let (port, folder) = (server.port(), server.folder().to_owned());
    drop(server);
    assert!(!listens(port) && !folder.exists(), "one that is paused ends as well");
}

#[test]
fn a_replica_can_be_read_and_not_written() {
    let server = PostgresServer::start();
    let url = server.fresh_database();
    server.sql(&url, "create table things (id int); insert into things values (7)");
    server.become_replica();
    assert_eq!(server.select(&url, "select id, pg_is_in_recovery() from things"), "7|t");
    let refused = std::panic::catch_unwind(|| server.sql(&url, "insert into things values (8)"));
    assert!(refused.unwrap_err().downcast_ref::<String>().unwrap().contains("read-only transaction"));
}

#[test]
fn postgres_serves_tls_and_has_the_settings_that_it_is_given() {
    let pem = pem();
    let options = PostgresOptions { tls: Some(pem), ..PostgresOptions::default() }.setting("max_connections", "17");
    let server = PostgresServer::start_with(&options);
    let authority = server.folder().join("ca.crt");
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url(), authority.display());
    let asked = "select ssl from pg_stat_ssl where pid = pg_backend_pid(); show max_connections";
    assert_eq!(server.select(&url, asked), "t\n17");
}

#[test]
fn redis_forgets_when_it_ends_and_waits_when_it_is_paused() {
    let server = RedisServer::start();
    let ends: [&dyn Fn(); 4] =
        [&|| server.stop(Stop::Fast), &|| server.stop(Stop::Immediate), &|| server.kill(), &|| server.flush()];
    for (round, end) in ends.into_iter().enumerate() {
        assert_eq!(server.command(&["set", "a", "1"]), "OK");
        end();
        if round < 3 {
            assert!(!listens(server.port()));
            server.start_again();
        }
        assert_eq!(server.command(&["exists", "a"]), "0");
    }
    server.pause();
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    std::io::Write::write_all(&mut socket, b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    assert!(socket.read(&mut answer).is_err(), "it answered");
    server.resume();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    assert!(server.log().contains("Ready to accept connections"));
}

#[test]
fn redis_has_the_settings_password_and_certificate_that_it_is_given() {
    let options =
        RedisOptions { password: Some("open-sesame".to_owned()), tls: Some(pem()), ..RedisOptions::default() };
    let server =
        RedisServer::start_with(&options.setting("maxmemory", "4mb").setting("maxmemory-policy", "allkeys-lru"));
    assert_eq!(server.url(), format!("rediss://:open-sesame@127.0.0.1:{}", server.port()));
    assert_eq!(server.command(&["config", "get", "maxmemory-policy"]), "maxmemory-policy\nallkeys-lru");
    assert_eq!(server.command(&["config", "get", "maxmemory"]), "maxmemory\n4194304");
    let shared = redis::shared_url();
    assert!(shared.starts_with("redis://"), "{shared}");
}

#[test]
fn a_cluster_of_three_knows_all_slots() {
    let cluster = RedisCluster::start();
    assert_eq!((cluster.nodes().len(), cluster.urls().len()), (3, 3));
    for node in cluster.nodes() {
        assert!(node.command(&["cluster", "info"]).contains("cluster_slots_ok:16384"));
    }
}

/// Runs one part of this program as another process.
fn part(name: &str, variables: &[(&str, &str)]) -> (Child, Vec<String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "another_process", "--nocapture"]).env(PART, name).envs(variables.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = |line: String| line.split_once("told: ").map(|(_, told)| told.to_owned());
    let told = lines.by_ref().filter_map(told).take(2).collect();
    // Whatever else it says is read, so that it can say it.
    thread::spawn(move || lines.count());
    (child, told)
}

/// Does nothing, unless it is run by another test: then it starts servers, tells where they are, and waits to be killed.
#[test]
fn another_process() {
    let Ok(part) = std::env::var(PART) else { return };
    match part.as_str() {
        "servers" => {
            let (postgres, redis) = (PostgresServer::shared(), RedisServer::start());
            println!("\ntold: {} {}", postgres.port(), postgres.folder().display());
            println!("told: {} -", redis.port());
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        _ => println!("\ntold: {}\ntold: -", postgres::fresh_database()),
    }
}

#[test]
fn servers_are_gone_after_the_process_that_started_them_was_killed() {
    let (mut child, told) = part("servers", &[]);
    let places: Vec<(u16, &str)> = told
        .iter()
        .map(|line| line.split_once(' ').map(|(port, folder)| (port.parse().unwrap(), folder)).unwrap())
        .collect();
    assert!(places.iter().all(|(port, _)| listens(*port)), "{told:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    until("they end", || !places.iter().any(|(port, _)| listens(*port)));
    until("the folder is removed", || !Path::new(places[0].1).exists());
}

#[test]
fn a_given_server_is_used_and_has_no_database_more_afterwards() {
    let server = PostgresServer::start();
    let (mut child, told) = part("databases", &[(postgres::GIVEN, &format!("{}?sslmode=disable", server.url()))]);
    assert!(child.wait().unwrap().success());
    let expected = format!("127.0.0.1:{}/orchestrator_test_{}_0?sslmode=disable", server.port(), child.id());
    assert!(told[0].ends_with(&expected), "{told:?}");
    let count = "select count(*) from pg_database where datname like 'orchestrator_test_%'";
    until("the database is removed", || server.select(&server.url(), count) == "0");
}
