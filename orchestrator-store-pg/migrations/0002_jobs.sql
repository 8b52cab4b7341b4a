-- The steps that are taken most, each a function over arrays: one round trip, one commit, however many callers wait.
--
-- Locks are always taken in one order, so that nobody waits in a circle: idempotency keys and inbox entries, ordering keys,
-- rows of the queue, heads of audit chains, counters of events; each sorted. The counters come last: they are what
-- transactions of one workspace wait for, and held for the least time.

CREATE TYPE new_event AS (
  op        integer,  -- the caller's, counted from 1
  job       uuid,     -- only if this job is new; NULL if the event does not hang on one
  workspace text,
  kind      text,
  subject   text,
  trace     uuid,
  data      text
);

CREATE TYPE new_job AS (
  op           integer,
  workspace    text,
  id           uuid,
  kind         text,
  lane         text,
  connector    text,
  operation    text,
  priority     smallint,
  run_at       bigint,
  max_attempts bigint,
  ordering_key text,
  callback     text,
  metadata     text,
  timeout_ms   bigint,
  subject      text,
  delivery_id  text,
  trace        uuid,
  input        bytea
);

CREATE TYPE new_request AS (
  op         integer,
  workspace  text,
  id         uuid,
  subject    text,
  started_at bigint,
  view       text
);

CREATE TYPE new_end AS (
  op        integer,
  workspace text,
  id        uuid,
  fence     bigint,
  outcome   text,     -- succeeded, dead, retry, give_back
  run_at    bigint,
  reason    text,
  error     text,
  output    bytea,
  delivery  uuid
);

-- A job that may have become ready.
CREATE TYPE ready_job AS (
  workspace text,
  id        uuid,
  lane      text,
  priority  smallint,
  run_at    bigint,
  lost      boolean   -- it has lost a lease, and runs apart
);

-- Appends events in their order. The counter is taken in the transaction of what they tell, so numbers become visible in
-- order and without holes.
CREATE FUNCTION append_events(p_events new_event[], p_now bigint) RETURNS void LANGUAGE sql VOLATILE AS $$
  WITH told AS (
    SELECT e.workspace, e.kind, e.subject, e.trace, e.data,
      row_number() OVER (PARTITION BY e.workspace ORDER BY e.place) AS place
    FROM unnest(p_events) WITH ORDINALITY AS e (op, job, workspace, kind, subject, trace, data, place)
  ), counted AS (
    INSERT INTO counters AS c (workspace, events)
    SELECT t.workspace, max(t.place) FROM told t GROUP BY t.workspace ORDER BY t.workspace
    ON CONFLICT (workspace) DO UPDATE SET events = c.events + excluded.events
    RETURNING c.workspace, c.events
  ), sizes AS (
    SELECT t.workspace, max(t.place) AS size FROM told t GROUP BY t.workspace
  )
  INSERT INTO events (workspace, number, time, kind, subject, trace, data)
  SELECT t.workspace, c.events - s.size + t.place, p_now, t.kind, t.subject, t.trace, t.data
  FROM told t JOIN counted c ON c.workspace = t.workspace JOIN sizes s ON s.workspace = t.workspace
$$;

-- Whoever changes which job of an ordering key may run holds the key until the commit. Keys share 1,024 locks.
CREATE FUNCTION lock_keys(p_workspaces text[], p_keys text[]) RETURNS void LANGUAGE sql VOLATILE AS $$
  SELECT count(pg_advisory_xact_lock(1869771875, k.slot)) FROM (
    SELECT DISTINCT hashtext(workspace || chr(1) || key) & 1023 AS slot
    FROM unnest(p_workspaces, p_keys) AS k (workspace, key) ORDER BY slot
  ) k
$$;

-- Lets the first unfinished job of each key go, if none of it runs, and leaves every other held.
CREATE FUNCTION release_keys(p_workspaces text[], p_keys text[], p_now bigint) RETURNS SETOF ready_job
LANGUAGE sql VOLATILE AS $$
  UPDATE queue q SET state = CASE WHEN q.run_at <= p_now THEN 1 ELSE 0 END, run_at = greatest(q.run_at, p_now)
  FROM (SELECT DISTINCT workspace, key FROM unnest(p_workspaces, p_keys) AS k (workspace, key)) k
  CROSS JOIN LATERAL (
    SELECT f.workspace, f.id FROM queue f WHERE f.workspace = k.workspace AND f.ordering_key = k.key ORDER BY f.seq LIMIT 1
  ) first
  WHERE q.workspace = first.workspace AND q.id = first.id AND q.state = 2
    AND NOT EXISTS (SELECT FROM queue r WHERE r.workspace = k.workspace AND r.ordering_key = k.key AND r.state = 3)
  RETURNING q.workspace, q.id, q.lane, q.priority, q.run_at, q.lost_leases > 0
$$;

-- Writes jobs that are not there yet, in their order. Answers those that were written; `ready` are those that may have become
-- ready.
CREATE FUNCTION insert_jobs(p_jobs new_job[], p_now bigint, OUT workspaces text[], OUT ids uuid[], OUT ready ready_job[])
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_workspaces text[];
  v_keys text[];
  v_released ready_job[];
BEGIN
  SELECT array_agg(j.workspace), array_agg(j.ordering_key) INTO v_workspaces, v_keys
  FROM unnest(p_jobs) j WHERE j.ordering_key IS NOT NULL;
  IF v_keys IS NOT NULL THEN
    PERFORM lock_keys(v_workspaces, v_keys);
  END IF;
  WITH fresh AS (
    INSERT INTO jobs (workspace, id, created_at, kind, connector, operation, priority, max_attempts, ordering_key, callback,
      metadata, timeout_ms, subject, delivery_id, trace, input)
    SELECT j.workspace, j.id, p_now, j.kind, j.connector, j.operation, j.priority, j.max_attempts, j.ordering_key,
      j.callback, j.metadata, j.timeout_ms, j.subject, j.delivery_id, j.trace, j.input
    FROM unnest(p_jobs) j
    ON CONFLICT (workspace, id) DO NOTHING
    RETURNING jobs.workspace, jobs.id
  ), placed AS (
    SELECT j.workspace, j.id, j.lane, j.priority, greatest(coalesce(j.run_at, p_now), p_now) AS run_at, j.ordering_key
    FROM unnest(p_jobs) WITH ORDINALITY AS j (op, workspace, id, kind, lane, connector, operation, priority, run_at,
      max_attempts, ordering_key, callback, metadata, timeout_ms, subject, delivery_id, trace, input, place)
    JOIN fresh f ON f.workspace = j.workspace AND f.id = j.id
    ORDER BY j.place
  ), queued AS (
    INSERT INTO queue (workspace, id, seq, lane, state, priority, run_at, attempt, fence, lost_leases, ordering_key)
    SELECT p.workspace, p.id, nextval('queue_seq'), p.lane,
      CASE WHEN p.ordering_key IS NOT NULL THEN 2 WHEN p.run_at <= p_now THEN 1 ELSE 0 END,
      p.priority, p.run_at, 0, 0, 0, p.ordering_key
    FROM placed p
    RETURNING queue.workspace, queue.id, queue.lane, queue.priority, queue.run_at, queue.state
  )
  SELECT array_agg(q.workspace), array_agg(q.id),
      array_agg(ROW(q.workspace, q.id, q.lane, q.priority, q.run_at, false)::ready_job) FILTER (WHERE q.state <> 2)
    INTO workspaces, ids, ready
  FROM queued q;
  IF v_keys IS NOT NULL THEN
    SELECT array_agg(r::ready_job) INTO v_released FROM release_keys(v_workspaces, v_keys, p_now) r;
    ready := ready || v_released;
  END IF;
END
$$;

-- Writes jobs, and of the events those that are due: that hang on no job, or on one that is new. `p_skipped` are callers
-- of which nothing is written. `fresh` are the callers of which something is new, or that asked for no job.
CREATE FUNCTION accept_jobs(p_ops integer, p_skipped integer[], p_jobs new_job[], p_events new_event[], p_now bigint,
  OUT fresh integer[], OUT ready ready_job[])
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_jobs new_job[] := p_jobs;
  v_events new_event[] := p_events;
  v_new_workspaces text[];
  v_new_ids uuid[];
BEGIN
  IF p_skipped IS NOT NULL THEN
    SELECT array_agg(n.j ORDER BY n.place) INTO v_jobs
    FROM (SELECT j, row_number() OVER () AS place FROM unnest(p_jobs) j) n WHERE NOT (n.j).op = ANY (p_skipped);
    SELECT array_agg(n.e ORDER BY n.place) INTO v_events
    FROM (SELECT e, row_number() OVER () AS place FROM unnest(p_events) e) n WHERE NOT (n.e).op = ANY (p_skipped);
  END IF;
  IF cardinality(v_jobs) > 0 THEN
    SELECT i.workspaces, i.ids, i.ready INTO v_new_workspaces, v_new_ids, ready FROM insert_jobs(v_jobs, p_now) i;
  END IF;
  IF coalesce(cardinality(v_new_ids), 0) = coalesce(cardinality(v_jobs), 0) THEN
    SELECT array_agg(o.op) INTO fresh FROM generate_series(1, p_ops) AS o (op)
    WHERE p_skipped IS NULL OR NOT o.op = ANY (p_skipped);
  ELSE
    -- Some were there already: a call that is repeated because its answer was lost adds nothing.
    SELECT array_agg(o.op) INTO fresh FROM generate_series(1, p_ops) AS o (op)
    WHERE (p_skipped IS NULL OR NOT o.op = ANY (p_skipped)) AND (
      NOT EXISTS (SELECT FROM unnest(v_jobs) j WHERE j.op = o.op)
      OR EXISTS (SELECT FROM unnest(v_jobs) j JOIN unnest(v_new_workspaces, v_new_ids) AS n (workspace, id)
        ON n.workspace = j.workspace AND n.id = j.id WHERE j.op = o.op));
    SELECT array_agg(n.e ORDER BY n.place) INTO v_events
    FROM (SELECT e, row_number() OVER () AS place FROM unnest(v_events) e) n
    WHERE CASE WHEN (n.e).job IS NULL THEN (n.e).op = ANY (fresh)
      ELSE EXISTS (SELECT FROM unnest(v_new_workspaces, v_new_ids) AS k (workspace, id)
        WHERE k.workspace = (n.e).workspace AND k.id = (n.e).job) END;
  END IF;
  IF cardinality(v_events) > 0 THEN
    PERFORM append_events(v_events, p_now);
  END IF;
END
$$;

-- Accepts jobs under their idempotency keys. `p_context` is evaluated first: it names the workspaces. Answers a row a caller
-- (`job` is NULL), and a row a job that may have become ready (`op` is NULL).
CREATE FUNCTION enqueue(p_context text, p_now bigint, p_workspaces text[], p_keys text[], p_hashes bytea[],
  p_answers bytea[], p_expires bigint[], p_jobs new_job[], p_events new_event[])
RETURNS TABLE (op integer, outcome text, answer bytea, fresh boolean, workspace text, job uuid, lane text, priority smallint,
  run_at bigint, lost boolean) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := now_ms(p_now);
  v_held integer[];
  v_done record;
BEGIN
  IF p_keys IS NOT NULL THEN
    WITH asked AS (
      SELECT a.* FROM unnest(p_workspaces, p_keys, p_hashes, p_answers, p_expires)
        WITH ORDINALITY AS a (workspace, key, hash, answer, expires_at, op) WHERE a.key IS NOT NULL
    ), taken AS (
      INSERT INTO idempotency AS i (workspace, route, key, request_hash, answer, expires_at)
      SELECT a.workspace, 'jobs', a.key, a.hash, a.answer, a.expires_at FROM asked a ORDER BY a.workspace, a.key
      ON CONFLICT (workspace, route, key) DO UPDATE SET request_hash = excluded.request_hash, execution = NULL,
        valid_until = NULL, answer = excluded.answer, expires_at = excluded.expires_at
        WHERE i.expires_at <= v_now
      RETURNING i.workspace, i.key
    )
    SELECT array_agg(a.op) INTO v_held FROM asked a
    WHERE NOT EXISTS (SELECT FROM taken t WHERE t.workspace = a.workspace AND t.key = a.key);
  END IF;
  SELECT * INTO v_done FROM accept_jobs(cardinality(p_workspaces), v_held, p_jobs, p_events, v_now);
  RETURN QUERY SELECT o, 'accepted', NULL::bytea, o = ANY (v_done.fresh), NULL::text, NULL::uuid, NULL::text, NULL::smallint,
    NULL::bigint, NULL::boolean
  FROM generate_series(1, cardinality(p_workspaces)) o WHERE v_held IS NULL OR NOT o = ANY (v_held);
  RETURN QUERY SELECT NULL::integer, NULL::text, NULL::bytea, NULL::boolean, r.* FROM unnest(v_done.ready) r;
  IF v_held IS NOT NULL THEN
    RETURN QUERY SELECT a.op::integer, CASE WHEN i.request_hash = a.hash THEN 'replayed' ELSE 'mismatch' END, i.answer, false,
      NULL::text, NULL::uuid, NULL::text, NULL::smallint, NULL::bigint, NULL::boolean
    FROM unnest(p_workspaces, p_keys, p_hashes) WITH ORDINALITY AS a (workspace, key, hash, op)
    JOIN idempotency i ON i.workspace = a.workspace AND i.route = 'jobs' AND i.key = a.key
    WHERE a.op = ANY (v_held);
  END IF;
END
$$;

-- Writes the ends of attempts whose fence is still the job's. Answers a row a caller whose end was written (`job` is NULL),
-- and a row a job that may have become ready (`op` is NULL).
CREATE FUNCTION settle(p_context text, p_now bigint, p_ends new_end[], p_jobs new_job[], p_requests new_request[],
  p_events new_event[])
RETURNS TABLE (op integer, workspace text, job uuid, lane text, priority smallint, run_at bigint, lost boolean)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := now_ms(p_now);
  v_ends new_end[];
  v_stale integer[];
  v_requests new_request[] := p_requests;
  v_workspaces text[];
  v_keys text[];
  v_again integer;
BEGIN
  SELECT array_agg(q.workspace), array_agg(q.ordering_key) INTO v_workspaces, v_keys
  FROM unnest(p_ends) e JOIN queue q ON q.workspace = e.workspace AND q.id = e.id WHERE q.ordering_key IS NOT NULL;
  IF v_keys IS NOT NULL THEN
    PERFORM lock_keys(v_workspaces, v_keys);
  END IF;
  SELECT array_agg(l.e) INTO v_ends FROM (
    SELECT e FROM unnest(p_ends) e JOIN queue q ON q.workspace = e.workspace AND q.id = e.id
    WHERE q.state = 3 AND q.fence = e.fence ORDER BY q.workspace, q.id FOR UPDATE OF q
  ) l;
  IF v_ends IS NULL THEN
    RETURN;
  END IF;
  IF cardinality(v_ends) < cardinality(p_ends) THEN
    SELECT array_agg(e.op) INTO v_stale FROM unnest(p_ends) e
    WHERE NOT EXISTS (SELECT FROM unnest(v_ends) a WHERE a.op = e.op);
    SELECT array_agg(r) INTO v_requests FROM unnest(p_requests) r WHERE NOT r.op = ANY (v_stale);
  END IF;
  WITH gone AS (
    DELETE FROM queue q USING unnest(v_ends) e
    WHERE e.outcome IN ('succeeded', 'dead') AND q.workspace = e.workspace AND q.id = e.id
    RETURNING q.workspace, q.id, q.seq, e.outcome, q.run_at, q.attempt, q.fence, q.lost_leases, e.reason, e.error,
      coalesce(e.delivery, q.delivery) AS delivery, e.output
  )
  INSERT INTO ended (workspace, id, seq, state, run_at, attempt, fence, lost_leases, finished_at, dead_reason, error,
    delivery, output)
  SELECT g.workspace, g.id, g.seq, g.outcome, g.run_at, g.attempt, g.fence, g.lost_leases, v_now, g.reason, g.error,
    g.delivery, g.output
  FROM gone g;
  SELECT count(*) INTO v_again FROM unnest(v_ends) e WHERE e.outcome IN ('retry', 'give_back');
  IF v_again > 0 THEN
    -- One of an ordering key is held here, and named where it is let go.
    RETURN QUERY
    WITH again AS (UPDATE queue q SET
      state = CASE WHEN q.ordering_key IS NOT NULL THEN 2 WHEN coalesce(e.run_at, v_now) <= v_now THEN 1 ELSE 0 END,
      run_at = greatest(coalesce(e.run_at, v_now), v_now),
      attempt = q.attempt - CASE WHEN e.outcome = 'give_back' THEN 1 ELSE 0 END,
      fence = q.fence + CASE WHEN e.outcome = 'give_back' THEN 1 ELSE 0 END,
      error = coalesce(e.error, q.error), delivery = coalesce(e.delivery, q.delivery), owner = NULL, lease_until = NULL
    FROM unnest(v_ends) e
    WHERE e.outcome IN ('retry', 'give_back') AND q.workspace = e.workspace AND q.id = e.id
    RETURNING q.*)
    SELECT NULL::integer, q.workspace, q.id, q.lane, q.priority, q.run_at, q.lost_leases > 0 FROM again q WHERE q.state <> 2;
  END IF;
  IF cardinality(v_requests) > 0 THEN
    INSERT INTO requests (workspace, id, subject, started_at, view)
    SELECT r.workspace, r.id, r.subject, r.started_at, r.view FROM unnest(v_requests) r
    ON CONFLICT (workspace, id) DO NOTHING;
  END IF;
  IF v_keys IS NOT NULL THEN
    RETURN QUERY SELECT NULL::integer, k.* FROM release_keys(v_workspaces, v_keys, v_now) k;
  END IF;
  RETURN QUERY SELECT NULL::integer, r.* FROM accept_jobs((SELECT max(e.op) FROM unnest(p_ends) e), v_stale, p_jobs, p_events,
    v_now) a CROSS JOIN LATERAL unnest(a.ready) r;
  RETURN QUERY SELECT e.op, NULL::text, NULL::uuid, NULL::text, NULL::smallint, NULL::bigint, NULL::boolean
  FROM unnest(v_ends) e;
END
$$;

-- Prolongs leases. Answers which of them are held.
CREATE FUNCTION renew(p_context text, p_now bigint, p_lease bigint, p_workspaces text[], p_ids uuid[], p_fences bigint[])
RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
BEGIN
  PERFORM FROM unnest(p_workspaces, p_ids) AS h (workspace, id) JOIN queue q ON q.workspace = h.workspace AND q.id = h.id
  ORDER BY q.workspace, q.id FOR UPDATE OF q;
  RETURN QUERY
  UPDATE queue q SET lease_until = v_now + p_lease
  FROM unnest(p_workspaces, p_ids, p_fences) WITH ORDINALITY AS h (workspace, id, fence, place)
  WHERE q.workspace = h.workspace AND q.id = h.id AND q.fence = h.fence AND q.state = 3
  RETURNING h.place;
END
$$;
