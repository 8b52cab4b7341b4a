//! Row-level security: what a transaction has not named does not exist for it, even when a statement forgets to ask.

use orchestrator_conformance::servers::PostgresServer;
use orchestrator_core::store::{Enqueue, EventLog, InboxStore, JobStore, NewInbox, RequestLog, Store};
use orchestrator_core::types::{InboxId, Timestamp, TraceId};

use crate::fixture::{aside, call, event, named, open};

/// The functions that look over all workspaces. Another one belongs on this list, and in the migration that says why.
const DUTIES: &str = "claim_jobs claim_named expired_jobs find_routes hand_out keep_partitions list_workspaces lowest_floor next_due \
    provider_routes queue_stats ready_heads requeue_lost route_holders set_aside take_route take_up_again undelivered";

/// A database in which two workspaces have something of most sorts.
async fn two_workspaces() -> (&'static PostgresServer, String) {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let store = open(&url).await;
    for name in ["ours-dev", "theirs-dev"] {
        let workspace = named(name);
        store.enqueue(&workspace, Enqueue { jobs: vec![call()], ..Enqueue::default() }).await.unwrap();
        store.append(&workspace, vec![event()]).await.unwrap();
        let entry = NewInbox {
            id: InboxId::new(),
            provider: "stripe".parse().unwrap(),
            route: "main".parse().unwrap(),
            account: None,
            event_id: "evt_1".to_owned(),
            event_type: None,
            headers: Default::default(),
            body: bytes::Bytes::from_static(b"{}"),
            body_payload: None,
            body_hash: [7; 32],
            received_at: Timestamp::from_unix_ms(1),
            trace_id: TraceId::new(),
            events: Vec::new(),
            jobs: Vec::new(),
            payloads: Default::default(),
        };
        store.ingest(&workspace, entry).await.unwrap();
        assert!(store.request_about(&workspace, "exe_1").await.unwrap().is_none());
    }
    store.close().await;
    (server, url)
}

/// What the application's role gets for these statements.
async fn as_app(server: &'static PostgresServer, url: &str, statements: &str) -> Vec<String> {
    let (url, statements) =
        (url.to_owned(), format!("set search_path = orchestrator; set role orchestrator_app; {statements}"));
    let text = aside(move || server.select(&url, &statements)).await;
    text.lines().filter(|line| !matches!(*line, "SET" | "BEGIN" | "")).map(str::to_owned).collect()
}

/// Every table with a workspace in it is guarded, also against its owner; the application owns nothing and is exempt from
/// nothing; and only the duties look over all workspaces.
#[tokio::test]
async fn inv_13_every_tenants_table_is_guarded() {
    const OPEN: &str = "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace' \
        where n.nspname = 'orchestrator' and c.relkind in ('r', 'p') and not c.relispartition \
        and not (c.relrowsecurity and c.relforcerowsecurity)";
    const PARTITIONS: &str = "select c.relname from pg_class c where c.relispartition and c.relkind = 'r' \
        and has_table_privilege('orchestrator_app', c.oid, 'select, insert, update, delete')";
    const ROLES: &str = "select rolname, rolsuper, rolbypassrls, rolcanlogin, \
        (select count(*) from pg_class where relowner = r.oid) \
        from pg_roles r where rolname in ('orchestrator_app', 'orchestrator_duty') order by rolname";
    const DEFINERS: &str = "select string_agg(proname, ' ' order by proname) from pg_proc p \
        join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'orchestrator' and prosecdef";
    let (server, url) = two_workspaces().await;
    let ask = |statement: &'static str| {
        let url = url.clone();
        aside(move || server.select(&url, statement))
    };
    assert_eq!(ask(OPEN).await.trim(), "");
    assert_eq!(ask(PARTITIONS).await.trim(), "", "a partition is reached through its table only");
    assert_eq!(ask(ROLES).await.trim(), "orchestrator_app|f|f|f|0\norchestrator_duty|f|f|f|0");
    assert_eq!(ask(DEFINERS).await.trim(), DUTIES.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// No workspace named: no row, of any table. One named: its rows alone, though no statement asks for it.
#[tokio::test]
async fn inv_13_a_forgotten_condition_shows_nothing_foreign() {
    const NAME: &str = "begin; select set_config('orchestrator.workspaces', 'ours-dev', true);";
    let (server, url) = two_workspaces().await;
    for table in ["jobs", "queue", "events", "counters", "inbox", "inbox_bodies"] {
        let all = as_app(server, &url, &format!("select count(*) from {table}")).await;
        assert_eq!(all, ["0"], "{table}, nothing named");
        let ours = as_app(server, &url, &format!("{NAME} select distinct workspace from {table}")).await;
        assert_eq!(ours, ["ours-dev", "ours-dev"], "{table}: what was named, and what was seen");
        let delete =
            format!("with gone as (delete from {table} returning workspace) select distinct workspace from gone");
        let touched = as_app(server, &url, &format!("{NAME} {delete}")).await;
        assert_eq!(touched.last().map(String::as_str), Some("ours-dev"), "{table}");
    }
}

/// A row of another workspace cannot be written either.
#[tokio::test]
async fn inv_13_nothing_foreign_is_written() {
    let (server, url) = two_workspaces().await;
    let store = open(&url).await;
    let statements = "set search_path = orchestrator; set role orchestrator_app; begin; \
        select set_config('orchestrator.workspaces', 'ours-dev', true); \
        insert into counters (workspace, events) values ('third-dev', 1)";
    let refused = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || server.select(&url, statements)).await
    };
    assert!(refused.is_err(), "the policy refuses it");
    assert_eq!(store.last_event(&named("third-dev")).await.unwrap(), 0);
}
