-- Statements that look jobs up one by one, by the key of the queue, whatever was known of the tables when they were planned. Plans
-- are kept, and most are made while the queue is empty: then walking along all that runs, for each end, looks as cheap as
-- one step along the key, and it is not when a thousand jobs run.
--
-- `LATERAL` with a lock or an `OFFSET` is not flattened into a join; `state + 0` fits none of the partial indexes.

-- Whether a job of the named workspaces has an ordering key: one look, where otherwise there is one for each job.
CREATE FUNCTION any_keys() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM queue q WHERE q.ordering_key IS NOT NULL);
END
$$;

CREATE OR REPLACE FUNCTION settle(p_context text, p_now bigint, p_ends new_end[], p_jobs new_job[], p_requests new_request[],
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
  IF any_keys() THEN
    SELECT array_agg(k.workspace), array_agg(k.ordering_key) INTO v_workspaces, v_keys
    FROM unnest(p_ends) e CROSS JOIN LATERAL (
      SELECT q.workspace, q.ordering_key FROM queue q WHERE q.workspace = e.workspace AND q.id = e.id OFFSET 0
    ) k WHERE k.ordering_key IS NOT NULL;
    IF v_keys IS NOT NULL THEN
      PERFORM lock_keys(v_workspaces, v_keys);
    END IF;
  END IF;
  SELECT array_agg(s.e) INTO v_ends
  FROM (SELECT e FROM unnest(p_ends) e ORDER BY e.workspace COLLATE "C", e.id) s
  CROSS JOIN LATERAL (
    SELECT FROM queue q WHERE q.workspace = (s.e).workspace AND q.id = (s.e).id AND q.fence = (s.e).fence AND q.state + 0 = 3
    FOR UPDATE
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
