-- The first schema. Ids and traces are uuids, times are milliseconds since 1970, the owner '@install' is the install itself.
-- Free text is stored as `text.rs` writes it: a NUL, which Postgres refuses, is escaped.

-- Two roles, and neither can log in. The application works as the first: it sees the rows of the workspaces that its
-- transaction has named, and no others. The second owns the few functions that look over all workspaces.
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['orchestrator_app', 'orchestrator_duty'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another install of this cluster was quicker
      END;
    END IF;
    IF NOT pg_catalog.pg_has_role(current_user, wanted, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO %I', wanted, current_user);
    END IF;
  END LOOP;
END
$$;
GRANT USAGE ON SCHEMA orchestrator TO orchestrator_app, orchestrator_duty;

CREATE FUNCTION now_ms(given bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT coalesce(given, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) $$;

-- The workspaces that the transaction has named; none if it has named none.
CREATE FUNCTION current_workspaces() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT string_to_array(current_setting('orchestrator.workspaces', true), ',') $$;

-- --- control

CREATE TABLE install (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch bigint NOT NULL
);
INSERT INTO install (epoch) VALUES (0);

-- Which owner changed at which epoch: names and numbers, for the nodes to follow.
CREATE TABLE owners (
  owner text COLLATE "C" PRIMARY KEY,
  epoch bigint NOT NULL
);
CREATE INDEX owners_epoch ON owners (epoch);

CREATE TABLE records (
  workspace  text COLLATE "C" NOT NULL,
  kind       text COLLATE "C" NOT NULL,
  key        text COLLATE "C" NOT NULL,
  version    bigint NOT NULL,
  updated_at bigint NOT NULL,
  body       bytea NOT NULL,
  PRIMARY KEY (workspace, kind, key)
);
CREATE INDEX records_workspaces ON records (workspace) WHERE kind = 'workspace';

CREATE TABLE routes (
  workspace text COLLATE "C" NOT NULL,
  name      text COLLATE "C" NOT NULL,
  provider  text COLLATE "C" NOT NULL,
  kind      text COLLATE "C" NOT NULL CHECK (kind IN ('account', 'key', 'default')),
  key       text COLLATE "C" NOT NULL,
  since     bigint NOT NULL,
  verified  boolean NOT NULL,
  PRIMARY KEY (workspace, name)
);
-- The judge of who has a route: not a check, but the key.
CREATE UNIQUE INDEX routes_holder ON routes (provider, kind, key) WHERE kind <> 'default';
CREATE INDEX routes_found ON routes (provider, kind, key, workspace, name);

-- `before` and `after` are NULL where there is nothing, and the JSON `null` where there is that.
CREATE TABLE audit (
  workspace     text COLLATE "C" NOT NULL,
  number        bigint NOT NULL,
  id            uuid NOT NULL,
  time          bigint NOT NULL,
  actor         text NOT NULL,
  via           text,
  action        text NOT NULL,
  target        text NOT NULL,
  reason        text,
  before        text,
  after         text,
  trace         text NOT NULL,
  previous_hash text NOT NULL,
  hash          text NOT NULL,
  PRIMARY KEY (workspace, number)
);
-- The last record of each chain: whoever appends holds this row until the commit.
CREATE TABLE audit_heads (
  workspace text COLLATE "C" PRIMARY KEY,
  number    bigint NOT NULL,
  hash      text NOT NULL
) WITH (fillfactor = 50);

-- --- events

-- The number of the last event of each workspace; outlives the events.
CREATE TABLE counters (
  workspace text COLLATE "C" PRIMARY KEY,
  events    bigint NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE events (
  workspace text COLLATE "C" NOT NULL,
  number    bigint NOT NULL,
  time      bigint NOT NULL,
  kind      text NOT NULL,
  subject   text COLLATE "C" NOT NULL,
  trace     uuid NOT NULL,
  data      text NOT NULL,
  PRIMARY KEY (workspace, number, time)
) PARTITION BY RANGE (time);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- --- jobs

-- What was asked: written once.
CREATE TABLE jobs (
  workspace    text COLLATE "C" NOT NULL,
  id           uuid NOT NULL,
  created_at   bigint NOT NULL,
  kind         text NOT NULL,
  connector    text COLLATE "C",
  operation    text NOT NULL,
  priority     smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
  max_attempts bigint NOT NULL,
  ordering_key text COLLATE "C",
  callback     text COLLATE "C",
  metadata     text NOT NULL,
  timeout_ms   bigint,
  subject      text,
  delivery_id  text,
  trace        uuid NOT NULL,
  input        bytea NOT NULL,
  PRIMARY KEY (workspace, id)
);

-- What has not ended: narrow, small, and rewritten with each step. `seq` is the order of acceptance.
-- `state`: 0 waits for its time, 1 may run, 2 waits for an earlier job of its ordering key, 3 runs, 4 cannot be read and was
-- set aside.
CREATE SEQUENCE queue_seq CACHE 1;
CREATE TABLE queue (
  workspace    text COLLATE "C" NOT NULL,
  id           uuid NOT NULL,
  seq          bigint NOT NULL,
  lane         text COLLATE "C" NOT NULL,
  state        smallint NOT NULL,
  priority     smallint NOT NULL,
  run_at       bigint NOT NULL,
  attempt      bigint NOT NULL,
  fence        bigint NOT NULL,
  lost_leases  bigint NOT NULL,
  owner        text,
  lease_until  bigint,
  ordering_key text COLLATE "C",
  error        text,
  delivery     uuid,
  PRIMARY KEY (workspace, id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
  autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_ready ON queue (workspace, lane, priority DESC, seq) INCLUDE (id) WHERE state = 1 AND lost_leases = 0;
CREATE INDEX queue_quarantine ON queue (workspace, lane, priority DESC, seq) INCLUDE (id)
  WHERE state = 1 AND lost_leases > 0;
CREATE INDEX queue_timers ON queue (run_at) WHERE state = 0;
CREATE INDEX queue_leases ON queue (lease_until) WHERE state = 3;
CREATE INDEX queue_ordering ON queue (workspace, ordering_key, seq) WHERE ordering_key IS NOT NULL;

-- How jobs ended: written once, unless a dead one is replayed.
CREATE TABLE ended (
  workspace   text COLLATE "C" NOT NULL,
  id          uuid NOT NULL,
  seq         bigint NOT NULL,
  state       text NOT NULL CHECK (state IN ('succeeded', 'dead', 'cancelled')),
  run_at      bigint NOT NULL,
  attempt     bigint NOT NULL,
  fence       bigint NOT NULL,
  lost_leases bigint NOT NULL,
  finished_at bigint NOT NULL,
  dead_reason text,
  error       text,
  delivery    uuid,
  output      bytea,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX ended_dead ON ended (workspace, id) WHERE state = 'dead';
CREATE INDEX ended_cancelled ON ended (workspace, id) WHERE state = 'cancelled';
CREATE INDEX ended_age ON ended (workspace, finished_at) WHERE state <> 'dead';

-- --- inbox

-- What deduplicates webhooks; it outlives the bodies.
CREATE TABLE inbox (
  workspace   text COLLATE "C" NOT NULL,
  id          uuid NOT NULL,
  provider    text COLLATE "C" NOT NULL,
  sender      text COLLATE "C" NOT NULL,
  event_id    text COLLATE "C" NOT NULL,
  route       text NOT NULL,
  account     text,
  event_type  text,
  body_hash   bytea NOT NULL CHECK (length(body_hash) = 32),
  received_at bigint NOT NULL,
  trace       uuid NOT NULL,
  job         uuid,
  given_up    boolean NOT NULL DEFAULT false,
  duplicates  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (workspace, id)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX inbox_dedupe ON inbox (workspace, provider, sender, event_id);
CREATE INDEX inbox_age ON inbox (workspace, received_at);

CREATE TABLE inbox_bodies (
  workspace   text COLLATE "C" NOT NULL,
  id          uuid NOT NULL,
  received_at bigint NOT NULL,
  headers     text NOT NULL,
  body        bytea NOT NULL,
  payload     uuid,
  PRIMARY KEY (workspace, id)
) PARTITION BY RANGE (id);
CREATE TABLE inbox_bodies_default PARTITION OF inbox_bodies DEFAULT;
CREATE INDEX inbox_bodies_age ON inbox_bodies (workspace, received_at);

-- --- requests

CREATE TABLE requests (
  workspace  text COLLATE "C" NOT NULL,
  id         uuid NOT NULL,
  subject    text COLLATE "C" NOT NULL,
  started_at bigint NOT NULL,
  view       text NOT NULL,
  PRIMARY KEY (workspace, id)
) PARTITION BY RANGE (id);
CREATE TABLE requests_default PARTITION OF requests DEFAULT;
CREATE INDEX requests_subject ON requests (workspace, subject, id);
CREATE INDEX requests_age ON requests (workspace, started_at);

-- Narrow. Without an answer the call has begun and not ended.
CREATE TABLE idempotency (
  workspace    text COLLATE "C" NOT NULL,
  route        text COLLATE "C" NOT NULL,
  key          text COLLATE "C" NOT NULL,
  request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
  execution    uuid,
  valid_until  bigint,
  answer       bytea,
  expires_at   bigint NOT NULL,
  PRIMARY KEY (workspace, route, key)
);
CREATE INDEX idempotency_age ON idempotency (workspace, expires_at);

-- --- payloads

CREATE TABLE payloads (
  workspace    text COLLATE "C" NOT NULL,
  id           uuid NOT NULL,
  size         bigint NOT NULL,
  sha256       bytea NOT NULL CHECK (length(sha256) = 32),
  content_type text NOT NULL,
  seal         bytea,
  created_at   bigint NOT NULL,
  lost_at      bigint,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX payloads_age ON payloads (workspace, created_at);

-- `owner` is the id of an execution, a job or an inbox entry, as text.
CREATE TABLE payload_names (
  workspace text COLLATE "C" NOT NULL,
  owner     text COLLATE "C" NOT NULL,
  payload   uuid NOT NULL,
  since     bigint NOT NULL,
  PRIMARY KEY (workspace, owner, payload)
);
CREATE INDEX payload_names_of ON payload_names (workspace, payload);

-- --- retention

-- What each workspace no longer needs: events, requests and bodies older than this.
CREATE TABLE floors (
  workspace text COLLATE "C" NOT NULL,
  part      text COLLATE "C" NOT NULL,
  before    bigint NOT NULL,
  PRIMARY KEY (workspace, part)
);

-- --- who sees what

GRANT SELECT, UPDATE ON install TO orchestrator_app;
GRANT SELECT, INSERT, UPDATE ON owners TO orchestrator_app;
GRANT SELECT ON install, owners TO orchestrator_duty;
GRANT USAGE ON SEQUENCE queue_seq TO orchestrator_app, orchestrator_duty;

DO $$
DECLARE
  tenant text;
BEGIN
  FOREACH tenant IN ARRAY ARRAY['records', 'routes', 'audit', 'audit_heads', 'counters', 'events', 'jobs', 'queue', 'ended',
    'inbox', 'inbox_bodies', 'requests', 'idempotency', 'payloads', 'payload_names', 'floors'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant);
    EXECUTE format('CREATE POLICY named ON %I TO orchestrator_app
      USING (workspace = ANY ((SELECT current_workspaces())::text[]))', tenant);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO orchestrator_app', tenant);
  END LOOP;
  FOREACH tenant IN ARRAY ARRAY['records', 'routes', 'counters', 'events', 'jobs', 'queue', 'ended', 'floors'] LOOP
    EXECUTE format('CREATE POLICY duty ON %I TO orchestrator_duty USING (true)', tenant);
    EXECUTE format('GRANT SELECT ON %I TO orchestrator_duty', tenant);
  END LOOP;
END
$$;
GRANT UPDATE ON queue TO orchestrator_duty;
GRANT INSERT, UPDATE ON counters TO orchestrator_duty;
GRANT INSERT ON events TO orchestrator_duty;
GRANT DELETE ON routes TO orchestrator_duty;
