-- Webhooks, and calls under idempotency keys: taken often, so functions over arrays as well.

CREATE TYPE new_entry AS (
  op          integer,
  workspace   text,
  id          uuid,
  provider    text,
  sender      text,
  event_id    text,
  route       text,
  account     text,
  event_type  text,
  body_hash   bytea,
  received_at bigint,
  trace       uuid,
  job         uuid,
  headers     text,
  body        bytea,
  payload     uuid
);

-- Takes webhooks in, each with its events and jobs, or finds that they were: by the unique key, never by looking first.
-- Answers a row a caller, and a row a job that may have become ready (`op` is NULL).
CREATE FUNCTION ingest(p_context text, p_now bigint, p_entries new_entry[], p_jobs new_job[], p_events new_event[])
RETURNS TABLE (op integer, fresh boolean, id uuid, conflict boolean, duplicates bigint, workspace text, lane text,
  priority smallint, run_at bigint, lost boolean) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := now_ms(p_now);
  v_known integer[];
BEGIN
  WITH taken AS (
    INSERT INTO inbox (workspace, id, provider, sender, event_id, route, account, event_type, body_hash, received_at, trace,
      job)
    SELECT e.workspace, e.id, e.provider, e.sender, e.event_id, e.route, e.account, e.event_type, e.body_hash, e.received_at,
      e.trace, e.job
    FROM unnest(p_entries) e ORDER BY e.workspace, e.provider, e.sender, e.event_id
    ON CONFLICT (workspace, provider, sender, event_id) DO NOTHING
    RETURNING inbox.workspace, inbox.id
  )
  SELECT array_agg(e.op) INTO v_known FROM unnest(p_entries) e
  WHERE NOT EXISTS (SELECT FROM taken t WHERE t.workspace = e.workspace AND t.id = e.id);
  INSERT INTO inbox_bodies (workspace, id, received_at, headers, body, payload)
  SELECT e.workspace, e.id, e.received_at, e.headers, e.body, e.payload FROM unnest(p_entries) e
  WHERE v_known IS NULL OR NOT e.op = ANY (v_known);
  IF v_known IS NULL THEN
    RETURN QUERY SELECT e.op, true, e.id, false, 0::bigint, NULL::text, NULL::text, NULL::smallint, NULL::bigint,
      NULL::boolean
      FROM unnest(p_entries) e;
  ELSE
    RETURN QUERY SELECT e.op, true, e.id, false, 0::bigint, NULL::text, NULL::text, NULL::smallint, NULL::bigint,
      NULL::boolean
      FROM unnest(p_entries) e WHERE NOT e.op = ANY (v_known);
    -- The same call again, whose answer was lost, is no duplicate.
    RETURN QUERY SELECT e.op, true, e.id, false, 0::bigint, NULL::text, NULL::text, NULL::smallint, NULL::bigint,
      NULL::boolean
      FROM unnest(p_entries) e
      JOIN inbox i ON i.workspace = e.workspace AND i.id = e.id WHERE e.op = ANY (v_known);
    RETURN QUERY UPDATE inbox i SET duplicates = i.duplicates + 1 FROM unnest(p_entries) e
      WHERE e.op = ANY (v_known) AND i.workspace = e.workspace AND i.provider = e.provider AND i.sender = e.sender
        AND i.event_id = e.event_id AND i.id <> e.id
      RETURNING e.op, false, i.id, i.body_hash <> e.body_hash, i.duplicates, NULL::text, NULL::text, NULL::smallint, NULL::bigint,
      NULL::boolean;
  END IF;
  RETURN QUERY SELECT NULL::integer, NULL::boolean, r.id, NULL::boolean, NULL::bigint, r.workspace, r.lane, r.priority, r.run_at,
    r.lost
  FROM accept_jobs((SELECT max(e.op) FROM unnest(p_entries) e), v_known, p_jobs, p_events, v_now) a
  CROSS JOIN LATERAL unnest(a.ready) r;
END
$$;

-- Notes that calls under idempotency keys begin, or tells what is known of the keys.
CREATE FUNCTION begin_calls(p_context text, p_now bigint, p_remembered bigint, p_workspaces text[], p_keys text[],
  p_hashes bytea[], p_executions uuid[], p_valid bigint[], p_take_over boolean[])
RETURNS TABLE (op integer, outcome text, execution uuid, answer bytea) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := now_ms(p_now);
  v_known integer[];
BEGIN
  WITH asked AS (
    SELECT a.* FROM unnest(p_workspaces, p_keys, p_hashes, p_executions, p_valid)
      WITH ORDINALITY AS a (workspace, key, hash, execution, valid_until, op)
  ), taken AS (
    INSERT INTO idempotency AS i (workspace, route, key, request_hash, execution, valid_until, expires_at)
    SELECT a.workspace, 'execute', a.key, a.hash, a.execution, a.valid_until, greatest(a.valid_until, v_now) + p_remembered
    FROM asked a ORDER BY a.workspace, a.key
    ON CONFLICT (workspace, route, key) DO UPDATE SET request_hash = excluded.request_hash, execution = excluded.execution,
      valid_until = excluded.valid_until, answer = NULL, expires_at = excluded.expires_at
      WHERE i.expires_at <= v_now
    RETURNING i.workspace, i.key
  )
  SELECT array_agg(a.op) INTO v_known FROM asked a
  WHERE NOT EXISTS (SELECT FROM taken t WHERE t.workspace = a.workspace AND t.key = a.key);
  RETURN QUERY SELECT o, 'fresh', NULL::uuid, NULL::bytea FROM generate_series(1, cardinality(p_keys)) o
  WHERE v_known IS NULL OR NOT o = ANY (v_known);
  IF v_known IS NULL THEN
    RETURN;
  END IF;
  UPDATE idempotency i SET execution = a.execution, valid_until = a.valid_until,
    expires_at = greatest(a.valid_until, v_now) + p_remembered
  FROM unnest(p_workspaces, p_keys, p_hashes, p_executions, p_valid, p_take_over)
    WITH ORDINALITY AS a (workspace, key, hash, execution, valid_until, take_over, op)
  WHERE a.take_over AND a.op = ANY (v_known) AND i.workspace = a.workspace AND i.route = 'execute' AND i.key = a.key
    AND i.request_hash = a.hash AND i.answer IS NULL AND i.valid_until <= v_now;
  -- Whoever has the key now is asked for: this very call has it if it took it over, or if its answer was lost before.
  RETURN QUERY
  SELECT a.op::integer, CASE WHEN i.request_hash <> a.hash THEN 'mismatch' WHEN i.answer IS NOT NULL THEN 'done'
      WHEN i.execution = a.execution THEN 'fresh' WHEN i.valid_until > v_now THEN 'running' ELSE 'unknown' END,
    i.execution, i.answer
  FROM unnest(p_workspaces, p_keys, p_hashes, p_executions) WITH ORDINALITY AS a (workspace, key, hash, execution, op)
  JOIN idempotency i ON i.workspace = a.workspace AND i.route = 'execute' AND i.key = a.key
  WHERE a.op = ANY (v_known);
END
$$;

-- Writes calls that were made, each with its events and the fate of its key. Answers those whose record is new or who have
-- none.
CREATE FUNCTION log_calls(p_context text, p_now bigint, p_ops integer, p_requests new_request[], p_events new_event[],
  p_key_workspaces text[], p_keys text[], p_executions uuid[], p_answers bytea[], p_expires bigint[])
RETURNS integer[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_known integer[];
  v_events new_event[] := p_events;
BEGIN
  IF cardinality(p_keys) > 0 THEN
    UPDATE idempotency i SET answer = k.answer, expires_at = k.expires_at, valid_until = NULL
    FROM unnest(p_key_workspaces, p_keys, p_executions, p_answers, p_expires) AS k (workspace, key, execution, answer,
      expires_at)
    WHERE k.answer IS NOT NULL AND i.workspace = k.workspace AND i.route = 'execute' AND i.key = k.key
      AND i.execution = k.execution AND i.answer IS NULL;
    DELETE FROM idempotency i USING unnest(p_key_workspaces, p_keys, p_executions, p_answers)
      AS k (workspace, key, execution, answer)
    WHERE k.answer IS NULL AND i.workspace = k.workspace AND i.route = 'execute' AND i.key = k.key
      AND i.execution = k.execution AND i.answer IS NULL;
  END IF;
  WITH written AS (
    INSERT INTO requests (workspace, id, subject, started_at, view)
    SELECT r.workspace, r.id, r.subject, r.started_at, r.view FROM unnest(p_requests) r
    ON CONFLICT (workspace, id) DO NOTHING
    RETURNING requests.workspace, requests.id
  )
  SELECT array_agg(r.op) INTO v_known FROM unnest(p_requests) r
  WHERE NOT EXISTS (SELECT FROM written w WHERE w.workspace = r.workspace AND w.id = r.id);
  IF v_known IS NOT NULL THEN
    -- A record that is there was written by the same call, with its events.
    SELECT array_agg(e ORDER BY place) INTO v_events
    FROM (SELECT e, row_number() OVER () AS place FROM unnest(p_events) e) n WHERE NOT (n.e).op = ANY (v_known);
  END IF;
  IF cardinality(v_events) > 0 THEN
    PERFORM append_events(v_events, v_now);
  END IF;
  RETURN (SELECT array_agg(o) FROM generate_series(1, p_ops) o WHERE v_known IS NULL OR NOT o = ANY (v_known));
END
$$;

GRANT SELECT ON _sqlx_migrations TO orchestrator_app;
