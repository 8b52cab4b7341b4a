-- The first schema.
-- Ids and traces are 16 bytes, big endian; times are milliseconds since 1970; the owner '' is the install itself.

CREATE TABLE install (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO install (one, epoch) VALUES (1, 0);

CREATE TABLE owners (
  owner TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX owners_epoch ON owners (epoch);

CREATE TABLE records (
  owner      TEXT NOT NULL,
  kind       TEXT NOT NULL,
  key        TEXT NOT NULL,
  version    INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  body       BLOB NOT NULL,
  PRIMARY KEY (owner, kind, key)
) STRICT;
CREATE INDEX records_workspaces ON records (owner) WHERE kind = 'workspace';

CREATE TABLE routes (
  workspace TEXT NOT NULL,
  name      TEXT NOT NULL,
  provider  TEXT NOT NULL,
  kind      TEXT NOT NULL CHECK (kind IN ('account', 'key', 'default')),
  key       TEXT NOT NULL,
  since     INTEGER NOT NULL,
  verified  INTEGER NOT NULL,
  PRIMARY KEY (workspace, name)
) STRICT, WITHOUT ROWID;
-- The judge of who has a route: not a check, but the key.
CREATE UNIQUE INDEX routes_holder ON routes (provider, kind, key) WHERE kind <> 'default';
CREATE INDEX routes_default ON routes (provider, workspace) WHERE kind = 'default';

-- `before` and `after` are NULL where there is nothing, and the JSON `null` where there is that.
CREATE TABLE audit (
  owner         TEXT NOT NULL,
  number        INTEGER NOT NULL,
  id            BLOB NOT NULL CHECK (length(id) = 16),
  time          INTEGER NOT NULL,
  actor         TEXT NOT NULL,
  via           TEXT,
  action        TEXT NOT NULL,
  target        TEXT NOT NULL,
  reason        TEXT,
  before        TEXT,
  after         TEXT,
  trace         TEXT NOT NULL,
  previous_hash TEXT NOT NULL,
  hash          TEXT NOT NULL,
  PRIMARY KEY (owner, number)
) STRICT, WITHOUT ROWID;

-- The number of the last event of each workspace; outlives the events.
CREATE TABLE counters (
  workspace TEXT PRIMARY KEY,
  events    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  workspace TEXT NOT NULL,
  number    INTEGER NOT NULL,
  time      INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  subject   TEXT NOT NULL,
  trace     BLOB NOT NULL CHECK (length(trace) = 16),
  data      TEXT NOT NULL,
  PRIMARY KEY (workspace, number)
) STRICT, WITHOUT ROWID;

-- `seq` is the order of acceptance. `ready`, of a queued job: 0 waits for its time, 1 may run, 2 waits for an earlier
-- job of its ordering key, 3 cannot be read and was set aside; NULL when it is not queued.
CREATE TABLE jobs (
  seq          INTEGER PRIMARY KEY,
  workspace    TEXT NOT NULL,
  id           BLOB NOT NULL CHECK (length(id) = 16),
  lane         TEXT NOT NULL,
  state        TEXT NOT NULL,
  ready        INTEGER,
  priority     INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
  run_at       INTEGER NOT NULL,
  attempt      INTEGER NOT NULL,
  fence        INTEGER NOT NULL,
  lost_leases  INTEGER NOT NULL,
  owner        TEXT,
  lease_until  INTEGER,
  created_at   INTEGER NOT NULL,
  finished_at  INTEGER,
  kind         TEXT NOT NULL,
  connector    TEXT,
  operation    TEXT NOT NULL,
  max_attempts INTEGER NOT NULL,
  ordering_key TEXT,
  callback     TEXT,
  metadata     TEXT NOT NULL,
  timeout_ms   INTEGER,
  subject      TEXT,
  delivery_id  TEXT,
  trace        BLOB NOT NULL,
  dead_reason  TEXT,
  error        TEXT,
  delivery     BLOB,
  input        BLOB,
  output       BLOB,
  UNIQUE (workspace, id)
) STRICT;
CREATE INDEX jobs_ready ON jobs (workspace, lane, priority DESC, seq, run_at) WHERE ready = 1 AND lost_leases = 0;
CREATE INDEX jobs_quarantine ON jobs (workspace, lane, priority DESC, seq, run_at) WHERE ready = 1 AND lost_leases > 0;
CREATE INDEX jobs_timers ON jobs (run_at) WHERE ready = 0;
CREATE INDEX jobs_held ON jobs (seq) WHERE ready = 2;
CREATE INDEX jobs_set_aside ON jobs (seq) WHERE ready = 3;
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_ordering ON jobs (workspace, ordering_key, seq)
  WHERE ordering_key IS NOT NULL AND finished_at IS NULL;
CREATE INDEX jobs_ordering_running ON jobs (workspace, ordering_key)
  WHERE ordering_key IS NOT NULL AND state = 'running';
CREATE INDEX jobs_unfinished ON jobs (workspace, id) WHERE finished_at IS NULL;
CREATE INDEX jobs_dead ON jobs (workspace, id) WHERE state = 'dead';
CREATE INDEX jobs_cancelled ON jobs (workspace, id) WHERE state = 'cancelled';
CREATE INDEX jobs_ended ON jobs (workspace, finished_at) WHERE finished_at IS NOT NULL AND state <> 'dead';

-- Inputs that are too large to be rewritten with each step of their job.
CREATE TABLE job_inputs (
  seq  INTEGER PRIMARY KEY,
  body BLOB NOT NULL
) STRICT;

-- What deduplicates webhooks; it outlives the bodies.
CREATE TABLE inbox (
  seq         INTEGER PRIMARY KEY,
  workspace   TEXT NOT NULL,
  id          BLOB NOT NULL CHECK (length(id) = 16),
  provider    TEXT NOT NULL,
  sender      TEXT NOT NULL,
  event_id    TEXT NOT NULL,
  route       TEXT NOT NULL,
  account     TEXT,
  event_type  TEXT,
  body_hash   BLOB NOT NULL CHECK (length(body_hash) = 32),
  body_kept   INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  trace       BLOB NOT NULL,
  job         BLOB,
  duplicates  INTEGER NOT NULL,
  UNIQUE (workspace, id),
  UNIQUE (workspace, provider, sender, event_id)
) STRICT;
CREATE INDEX inbox_age ON inbox (workspace, received_at);
CREATE INDEX inbox_kept ON inbox (workspace, received_at) WHERE body_kept = 1;

CREATE TABLE inbox_bodies (
  seq     INTEGER PRIMARY KEY,
  headers TEXT NOT NULL,
  body    BLOB NOT NULL
) STRICT;

CREATE TABLE requests (
  workspace  TEXT NOT NULL,
  id         BLOB NOT NULL CHECK (length(id) = 16),
  subject    TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  view       TEXT NOT NULL,
  PRIMARY KEY (workspace, id)
) STRICT;
CREATE INDEX requests_subject ON requests (workspace, subject, id);
CREATE INDEX requests_age ON requests (workspace, started_at);

-- Narrow, so that it can be dropped by time. Without an answer the call has begun and not ended.
CREATE TABLE idempotency (
  workspace    TEXT NOT NULL,
  route        TEXT NOT NULL,
  key          TEXT NOT NULL,
  request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
  execution    BLOB,
  valid_until  INTEGER,
  answer       BLOB,
  expires_at   INTEGER NOT NULL,
  PRIMARY KEY (workspace, route, key)
) STRICT;
CREATE INDEX idempotency_age ON idempotency (workspace, expires_at);
CREATE INDEX idempotency_begun ON idempotency (valid_until) WHERE answer IS NULL;
