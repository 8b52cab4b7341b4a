#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrator_connectors::VaultAuth;
use orchestrator_core::secrets::VaultPrefix;

use super::{LogFormat, QueuePlace, SettingError, SettingSource, Settings, Sources, StorePlace};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orchestrator.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn refusal(text: &str) -> String {
    let (_folder, path) = file(text);
    let line = Settings::load(&Sources::of_file(&path)).unwrap_err().to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    line.replace(&path.display().to_string(), "FILE")
}

fn variable(name: &str, value: &str) -> Result<Settings, SettingError> {
    Settings::load(&Sources::default().with_variables([(name, value)]))
}

#[test]
fn without_settings_everything_has_a_default() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert_eq!(settings.environment.as_str(), "dev");
    assert_eq!(settings.store.file(), Some(Path::new("orchestrator-data/orchestrator.db")));
    assert_eq!(settings.secrets.kek_file, PathBuf::from("orchestrator-data/kek"));
    assert_eq!(settings.listen.api.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.listen.ops.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.listen.control, None);
}

#[test]
fn flags_are_over_the_environment_and_the_environment_over_the_file() {
    let (_folder, path) = file(
        "environment = \"a\"\ndata_dir = \"/a\"\ndrain_s = 1\n[egress]\nallow = [\"10.0.0.0/8\"]\n[workers]\nslots = 9\n",
    );
    let sources = Sources::of_file(path)
        .with_variables([("ORCHESTRATOR__DATA_DIR", "/b"), ("ORCHESTRATOR__DRAIN_S", "2"), ("ORCHESTRATOR_TOKEN", "x")])
        .with_flag("drain_s", Some(3))
        .with_flag("environment", None::<String>);
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.environment.as_str(), "a");
    assert_eq!(settings.store.file(), Some(Path::new("/b/orchestrator.db")));
    assert_eq!(settings.drain, Duration::from_secs(3));
    assert_eq!((settings.workers.drain, settings.edge_limits.drain), (settings.drain, settings.drain));
    assert_eq!(settings.egress_allow, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!((settings.workers.slots, settings.workers.per_workspace), (9, 9));
}

#[test]
fn lists_and_numbers_can_be_variables() {
    let sources = Sources::default().with_variables([
        ("ORCHESTRATOR__EGRESS__ALLOW", "127.0.0.0/8, ::1/128"),
        ("ORCHESTRATOR__LIMITS__BODY_BYTES", "2048"),
        ("ORCHESTRATOR__TELEMETRY__LOG", "text"),
        ("ORCHESTRATOR__STORE__URL", "sqlite:///var/lib/o.db"),
        ("ORCHESTRATOR__ENVIRONMENT", "007"),
    ]);
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.egress_allow.len(), 2);
    assert_eq!(settings.api_limits.body_bytes, 2048);
    assert_eq!(settings.log, LogFormat::Text);
    assert_eq!(settings.store.file(), Some(Path::new("/var/lib/o.db")));
    assert_eq!(settings.environment.as_str(), "007");
}

#[test]
fn a_database_is_shown_without_who_opens_it() {
    let (_folder, path) = file(
        "[store]\nurl = \"postgres://c4n4ry:c4n4ry@db.internal/shop?sslmode=require\"\nmax_connections = 9\n\
         statement_timeout_s = 7\n",
    );
    let settings = Settings::load(&Sources::of_file(path)).unwrap();
    assert_eq!(settings.store.shown(), "postgres://db.internal:5432/shop");
    assert_eq!(settings.store.file(), None);
    let StorePlace::Postgres(options) = &settings.store else { panic!("{:?}", settings.store) };
    assert!(options.requires_tls() && options.connections() == 9);
    assert!(!format!("{settings:?}").contains("c4n4ry"));
}

#[test]
fn a_queue_is_the_store_or_redis_and_shows_no_password() {
    assert!(matches!(Settings::load(&Sources::default()).unwrap().queue, QueuePlace::Store));
    assert!(matches!(variable("ORCHESTRATOR__QUEUE__URL", "store").unwrap().queue, QueuePlace::Store));
    let settings = variable("ORCHESTRATOR__QUEUE__URL", "rediss://:c4n4ry@cache.internal:6380").unwrap();
    let QueuePlace::Redis(options) = &settings.queue else { panic!("{:?}", settings.queue) };
    assert_eq!(options.names(), "cache.internal:6380");
    assert!(!format!("{settings:?}").contains("c4n4ry"));
}

#[test]
fn workspaces_have_weights() {
    let (_folder, path) = file("workers.weights = {shop-dev = 3, mall-dev = 1}\n");
    let settings = Settings::load(&Sources::of_file(path)).unwrap();
    let weights: Vec<_> =
        settings.workers.weights.iter().map(|(workspace, weight)| (workspace.as_str(), *weight)).collect();
    assert_eq!(weights, [("mall-dev", 1), ("shop-dev", 3)]);
}

#[test]
fn issuers_are_read_from_the_file() {
    let (_folder, path) = file(
        "[[auth.issuers]]\nissuer = \"https://id.example\"\naudience = \"orchestrator-exec\"\njwks_url = \"https://id.example/k\"\n",
    );
    let settings = Settings::load(&Sources::of_file(path)).unwrap();
    assert_eq!(settings.issuers.len(), 1);
    assert_eq!(settings.issuers[0].issuer, "https://id.example");
}

#[test]
fn an_unknown_setting_is_named_with_its_source() {
    assert_eq!(refusal("colour = \"c4n4ry\"\n"), "`colour` (from FILE) is no setting of this server");
    assert_eq!(refusal("[store]\nurls = \"c4n4ry\"\n"), "`store.urls` (from FILE) is no setting of this server");
    assert_eq!(
        refusal("[[auth.issuers]]\nissuer = \"a\"\nkeys = \"c4n4ry\"\n"),
        "`auth.issuers[0].keys` (from FILE) is no setting of this server"
    );
    let error = variable("ORCHESTRATOR__STORE__URLS", "c4n4ry").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`store.urls` (from the environment variable ORCHESTRATOR__STORE__URLS) is no setting of this server"
    );
    for name in ["ORCHESTRATOR__", "ORCHESTRATOR__STORE.URL", "ORCHESTRATOR__STORE____URL", "ORCHESTRATOR__X[0]"] {
        let error = variable(name, "c4n4ry").unwrap_err().to_string();
        assert!(error.contains(name) && error.ends_with("is no setting of this server"), "{error}");
    }
}

#[test]
fn a_setting_that_cannot_work_is_told_without_its_value() {
    for (text, setting) in [
        ("environment = \"C4N4RY\"", "environment"),
        ("drain_s = \"c4n4ry\"", "drain_s"),
        ("drain_s = 0", "drain_s"),
        ("data_dir = \"\"", "data_dir"),
        ("store = \"c4n4ry\"", "store"),
        ("store.url = \"postgres://u:c4n4ry@h\"", "store.url"),
        ("store.url = \"postgres://u:c4n4ry@h:c4n4ry/d\"", "store.url"),
        ("store.url = \"postgres://u:c4n4ry@h/d?sslmode=c4n4ry\"", "store.url"),
        ("store.url = \"postgres://u:c4n4ry@h/d\"\nstore.max_connections = 3", "store.max_connections"),
        ("store.url = \"postgres://u:c4n4ry@h/d\"\nstore.statement_timeout_s = 0", "store.statement_timeout_s"),
        ("store.max_connections = 9", "store.max_connections"),
        ("store.statement_timeout_s = 9", "store.statement_timeout_s"),
        ("store.url = \"mysql://u:c4n4ry@h/d\"", "store.url"),
        ("store.url = \"sqlite://\"", "store.url"),
        ("store.url = \"sqlite://:memory:\"", "store.url"),
        ("queue.url = \"redis://:c4n4ry@\"", "queue.url"),
        ("queue.url = \"redis://:c4n4ry@h?speed=c4n4ry\"", "queue.url"),
        ("queue.url = \"c4n4ry\"", "queue.url"),
        ("payloads.url = \"s3://C4N4RY\"", "payloads.url"),
        ("payloads.url = \"s3://key:c4n4ry@bucket/x\"", "payloads.url"),
        ("payloads.url = \"c4n4ry\"", "payloads.url"),
        ("payloads.url = \"file://\"", "payloads.url"),
        ("payloads.region = \"c4n4ry\"", "payloads.region"),
        ("payloads = {url = \"s3://bucket\", endpoint = \"ftp://c4n4ry\"}", "payloads.endpoint"),
        ("payloads = {url = \"s3://bucket\", endpoint = \"http://a:c4n4ry@b\"}", "payloads.endpoint"),
        ("payloads = {url = \"s3://bucket\", access_key_id = \"c4n4ry\"}", "payloads.secret_access_key_file"),
        (
            "payloads = {url = \"s3://bucket\", access_key_id = \"a\", secret_access_key_file = \"/nowhere/c4n4ry\"}",
            "payloads.secret_access_key_file",
        ),
        ("payloads.max_bytes = 1", "payloads.max_bytes"),
        ("listen.api = \"c4n4ry\"", "listen.api"),
        ("listen.ops = \"127.0.0.1:8080\"", "listen.ops"),
        ("listen.control = \"127.0.0.1:9090\"", "listen.control"),
        ("listen.break_glass = \"127.0.0.1:1\"", "listen.break_glass"),
        ("secrets.vault_url = \"https://c4n4ry\"", "secrets.vault_url"),
        ("secrets.vault_url = \"https://u:c4n4ry@v\"\nsecrets.vault_role_id = \"r\"", "secrets.vault_url"),
        ("secrets.vault_url = \"ftp://c4n4ry\"\nsecrets.vault_role_id = \"r\"", "secrets.vault_url"),
        ("secrets.vault_url = \"c4n4ry\"\nsecrets.vault_role_id = \"r\"", "secrets.vault_url"),
        ("secrets.vault_role_id = \"c4n4ry\"", "secrets.vault_role_id"),
        (
            "secrets.vault_url = \"https://v\"\nsecrets.vault_token_file = \"/nowhere/c4n4ry\"",
            "secrets.vault_token_file",
        ),
        ("secrets.vault_url = \"https://v\"\nsecrets.vault_role_id = \"c4n4ry ?\"", "secrets.vault_role_id"),
        (
            "secrets.vault_url = \"https://v\"\nsecrets.vault_role_id = \"r\"\nsecrets.vault_token_file = \"/dev/null\"",
            "secrets.vault_token_file",
        ),
        (
            "secrets.vault_url = \"https://v\"\nsecrets.vault_role_id = \"r\"\nsecrets.vault_prefix = \"c4n4ry/data\"",
            "secrets.vault_prefix",
        ),
        (
            "secrets.vault_url = \"https://v\"\nsecrets.vault_role_id = \"r\"\nsecrets.vault_allow = [\"c4n4ry\"]",
            "secrets.vault_allow",
        ),
        ("secrets.dir = \"/nowhere/c4n4ry\"", "secrets.dir"),
        ("secrets.older_kek_files = 5", "secrets.older_kek_files"),
        ("telemetry.otlp_url = \"https://c4n4ry\"", "telemetry.otlp_url"),
        ("telemetry.log = \"c4n4ry\"", "telemetry.log"),
        ("egress.allow = [\"c4n4ry\"]", "egress.allow"),
        ("workers.slots = -1", "workers.slots"),
        ("workers.slots = 2\nworkers.per_workspace = 3", "workers.per_workspace"),
        ("workers.weights.C4N4RY = 3", "workers.weights"),
        ("workers.weights.shop-dev = 0", "workers.weights.shop-dev"),
        ("workers.weights.shop-dev = 1001", "workers.weights.shop-dev"),
        ("workers.lease_s = 1", "workers.lease_s"),
        ("limits.body_bytes = 1", "limits.body_bytes"),
        ("limits.connections = 3\nlimits.connections_per_address = 4", "limits.connections_per_address"),
        ("[[auth.issuers]]\naudience = \"orchestrator-exec\"", "auth.issuers[0].issuer"),
        ("[[auth.issuers]]\nissuer = \"a\"\naudience = \"c4n4ry\"", "auth.issuers[0].audience"),
        (
            "[[auth.issuers]]\nissuer = \"a\"\naudience = \"orchestrator-exec\"\njwks_url = \"c4n4ry\"",
            "auth.issuers[0].jwks_url",
        ),
        ("[[auth.issuers]]\nissuer = \"a\"\naudience = \"orchestrator-exec\"", "auth.issuers[0].jwks_file"),
    ] {
        let line = refusal(text);
        assert!(line.starts_with(&format!("the setting `{setting}` (")), "{text} gave {line}");
        assert!(!line.to_lowercase().contains("c4n4ry"), "{line}");
    }
}

#[test]
fn the_source_of_a_setting_is_the_layer_that_won() {
    let (_folder, path) = file("drain_s = 1\n[workers]\nslots = 0\n");
    let sources = Sources::of_file(&path).with_variables([("ORCHESTRATOR__DRAIN_S", "0")]);
    let from = |sources: &Sources| match Settings::load(sources).unwrap_err() {
        SettingError::Unusable { from, .. } => from,
        other => unreachable!("{other}"),
    };
    assert_eq!(from(&sources), SettingSource::Variable("ORCHESTRATOR__DRAIN_S".to_owned()));
    assert_eq!(from(&sources.clone().with_flag("drain_s", Some(0))), SettingSource::Flag);
    assert_eq!(from(&sources.with_flag("drain_s", Some(1))), SettingSource::File(path));
}

#[test]
fn a_file_that_is_no_toml_is_told_by_line_and_not_by_content() {
    let line = refusal("a = 1\nb = c4n4ry c4n4ry\n");
    assert!(line.contains("line 2") && !line.contains("c4n4ry"), "{line}");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let line = Settings::load(&Sources::of_file("/nowhere/orchestrator.toml")).unwrap_err().to_string();
    assert!(line.starts_with("the settings file /nowhere/orchestrator.toml cannot be read"), "{line}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_told_by_name() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![0xff, b'c']);
    let sources = Sources::default().with_variables([("ORCHESTRATOR__STORE__URL", value)]);
    let line = Settings::load(&sources).unwrap_err().to_string();
    assert_eq!(line, "the environment variable ORCHESTRATOR__STORE__URL is no text");
}

#[test]
fn a_vault_is_logged_in_to_by_a_token_or_by_a_role_and_its_prefix_names_the_product() {
    let folder = tempfile::tempdir().unwrap();
    let credential = folder.path().join("credential");
    std::fs::write(&credential, "x").unwrap();
    let load = |more: &str| {
        let (_kept, path) = file(&format!("[secrets]\nvault_url = \"https://vault.example:8200\"\n{more}"));
        Settings::load(&Sources::of_file(path)).map(|settings| settings.secrets.vault.unwrap())
    };
    let shown = credential.display().to_string();
    let by_token = load(&format!("vault_token_file = \"{shown}\"\nvault_namespace = \"team/\"")).unwrap();
    assert_eq!(by_token.options.auth, VaultAuth::TokenFile(credential.clone()));
    assert_eq!(by_token.options.namespace.as_deref(), Some("team"));
    assert_eq!(by_token.prefix, VaultPrefix::parse("kv/data/{product}").unwrap());
    let role = format!(
        "vault_role_id = \"r\"\nvault_secret_id_file = \"{shown}\"\nvault_prefix = \"a/data/{{workspace}}\"\nvault_allow = \"10.0.0.0/8\""
    );
    let by_role = load(&role).unwrap();
    let (mount, role_id, secret_id_file) = ("approle".to_owned(), "r".to_owned(), Some(credential));
    assert_eq!(by_role.options.auth, VaultAuth::AppRole { mount, role_id, secret_id_file });
    assert_eq!(by_role.allow, ["10.0.0.0/8".parse().unwrap()]);
    let both = load(&format!("{role}\nvault_token_file = \"{shown}\"")).unwrap_err().to_string();
    assert!(both.contains("leave one of them out"), "{both}");
    let none = load("").unwrap_err().to_string();
    assert!(none.contains("`secrets.vault_token_file`"), "{none}");
}
