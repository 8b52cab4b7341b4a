-- What looks over all workspaces: these functions and no others. Each is the duty role's, and the application may call it.
-- In PL/pgSQL, which keeps its plans: a function in SQL that is another role's is planned anew at each call.

-- A job as `jobs/row.rs` reads it.
CREATE TYPE whole_job AS (
  workspace    text,
  id           uuid,
  state        text,
  priority     smallint,
  run_at       bigint,
  attempt      bigint,
  fence        bigint,
  lost_leases  bigint,
  created_at   bigint,
  finished_at  bigint,
  kind         text,
  connector    text,
  operation    text,
  max_attempts bigint,
  ordering_key text,
  callback     text,
  metadata     text,
  timeout_ms   bigint,
  subject      text,
  delivery_id  text,
  trace        uuid,
  dead_reason  text,
  error        text,
  delivery     uuid,
  output       bytea,
  input        bytea
);

-- Jobs of the queue, in the order that they are named in.
CREATE FUNCTION queued_jobs(p_workspaces text[], p_ids uuid[]) RETURNS SETOF whole_job LANGUAGE sql STABLE AS $$
  SELECT q.workspace, q.id, CASE q.state WHEN 3 THEN 'running' ELSE 'queued' END, q.priority, q.run_at, q.attempt, q.fence,
    q.lost_leases, j.created_at, NULL::bigint, j.kind, j.connector, j.operation, j.max_attempts, j.ordering_key, j.callback,
    j.metadata, j.timeout_ms, j.subject, j.delivery_id, j.trace, NULL::text, q.error, q.delivery, NULL::bytea, j.input
  FROM unnest(p_workspaces, p_ids) WITH ORDINALITY AS c (workspace, id, place)
  JOIN queue q ON q.workspace = c.workspace AND q.id = c.id
  JOIN jobs j ON j.workspace = c.workspace AND j.id = c.id
  ORDER BY c.place
$$;

-- Makes jobs ready whose time has come. Answers how many.
CREATE FUNCTION wake(p_now bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_woken bigint;
BEGIN
  WITH due AS (
    SELECT q.workspace, q.id FROM queue q WHERE q.state = 0 AND q.run_at <= p_now
    ORDER BY q.run_at LIMIT 2000 FOR UPDATE SKIP LOCKED
  ), woken AS (
    UPDATE queue q SET state = 1 FROM due d WHERE q.workspace = d.workspace AND q.id = d.id RETURNING 1
  )
  SELECT count(*) INTO v_woken FROM woken;
  RETURN v_woken;
END
$$;

-- Of these jobs, those that may run now and that nobody else is taking: put under a lease, the attempt and the fence counted.
CREATE FUNCTION take_jobs(p_workspaces text[], p_ids uuid[], p_quarantine boolean, p_owner text, p_until bigint)
RETURNS TABLE (workspace text, id uuid, lane text) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH free AS (
    SELECT q.ctid AS place FROM unnest(p_workspaces, p_ids) AS c (workspace, id)
    JOIN queue q ON q.workspace = c.workspace AND q.id = c.id
    WHERE q.state = 1 AND (q.lost_leases > 0) = p_quarantine FOR UPDATE OF q SKIP LOCKED
  )
  -- What is locked stays where it lies.
  UPDATE queue q SET state = 3, attempt = q.attempt + 1, fence = q.fence + 1, owner = p_owner, lease_until = p_until
  FROM free f WHERE q.ctid = f.place
  RETURNING q.workspace, q.id, q.lane;
END
$$;

-- Up to `p_max` workspaces with ready jobs, from after `p_after` on, then from the beginning to it: by jumping from one to
-- the next in the index, however many jobs each has.
CREATE FUNCTION ready_workspaces(p_quarantine boolean, p_after text, p_full text[], p_max integer)
RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_at text := p_after;
  v_wrapped boolean := false;
  v_found integer := 0;
  v_looked integer := 0;
BEGIN
  WHILE v_found < p_max AND v_looked < 2000 LOOP
    IF p_quarantine THEN
      SELECT q.workspace INTO v_at FROM queue q WHERE q.state = 1 AND q.lost_leases > 0 AND q.workspace > v_at
      ORDER BY q.workspace LIMIT 1;
    ELSE
      SELECT q.workspace INTO v_at FROM queue q WHERE q.state = 1 AND q.lost_leases = 0 AND q.workspace > v_at
      ORDER BY q.workspace LIMIT 1;
    END IF;
    IF v_at IS NULL THEN
      EXIT WHEN v_wrapped OR p_after = '';
      v_wrapped := true;
      v_at := '';
      CONTINUE;
    END IF;
    EXIT WHEN v_wrapped AND v_at > p_after;
    v_looked := v_looked + 1;
    IF NOT v_at = ANY (p_full) THEN
      v_found := v_found + 1;
      RETURN NEXT v_at;
    END IF;
  END LOOP;
END
$$;

-- The first ready jobs of a workspace, `p_max` at most, none of `p_seen`, and of a lane that is limited only so many.
CREATE FUNCTION first_jobs(p_workspace text, p_quarantine boolean, p_max integer, p_seen uuid[], p_lanes text[], p_left integer[])
RETURNS TABLE (id uuid, lane text) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  v_lanes text[] := '{}';
  v_most integer[] := '{}';
  v_lane text := '';
  v_left integer;
BEGIN
  LOOP
    IF p_quarantine THEN
      SELECT q.lane INTO v_lane FROM queue q
      WHERE q.state = 1 AND q.lost_leases > 0 AND q.workspace = p_workspace AND q.lane > v_lane ORDER BY q.lane LIMIT 1;
    ELSE
      SELECT q.lane INTO v_lane FROM queue q
      WHERE q.state = 1 AND q.lost_leases = 0 AND q.workspace = p_workspace AND q.lane > v_lane ORDER BY q.lane LIMIT 1;
    END IF;
    EXIT WHEN v_lane IS NULL;
    SELECT min(l.most) INTO v_left FROM unnest(p_lanes, p_left) AS l (name, most) WHERE l.name = v_lane;
    IF coalesce(v_left, p_max) > 0 THEN
      v_lanes := v_lanes || v_lane;
      v_most := v_most || least(p_max, coalesce(v_left, p_max));
    END IF;
  END LOOP;
  IF p_quarantine THEN
    RETURN QUERY SELECT f.id, l.name FROM unnest(v_lanes, v_most) AS l (name, most) CROSS JOIN LATERAL (
      SELECT q.id, q.priority, q.seq FROM queue q WHERE q.state = 1 AND q.lost_leases > 0 AND q.workspace = p_workspace
        AND q.lane = l.name AND NOT q.id = ANY (p_seen)
      ORDER BY q.priority DESC, q.seq LIMIT l.most) f
    ORDER BY f.priority DESC, f.seq LIMIT p_max;
  ELSE
    RETURN QUERY SELECT f.id, l.name FROM unnest(v_lanes, v_most) AS l (name, most) CROSS JOIN LATERAL (
      SELECT q.id, q.priority, q.seq FROM queue q WHERE q.state = 1 AND q.lost_leases = 0 AND q.workspace = p_workspace
        AND q.lane = l.name AND NOT q.id = ANY (p_seen)
      ORDER BY q.priority DESC, q.seq LIMIT l.most) f
    ORDER BY f.priority DESC, f.seq LIMIT p_max;
  END IF;
END
$$;

-- Takes ready jobs, fair over workspaces: those whose turn it is give one each, round by round, until all have given what
-- they may. What another is taking at the same moment is passed over, and the next ones are looked at instead.
CREATE FUNCTION claim_jobs(p_now bigint, p_owner text, p_lease bigint, p_max integer, p_per_workspace integer,
  p_quarantine boolean, p_after text, p_full text[], p_lane_workspaces text[], p_lanes text[], p_left integer[])
RETURNS SETOF whole_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_workspaces text[];
  v_places integer[];
  v_seen uuid[] := '{}';
  v_ids uuid[];
  v_of text[];
  v_got_ids uuid[];
  v_got_of text[];
  v_got_lanes text[];
  v_ids_all uuid[] := '{}';
  v_of_all text[] := '{}';
  v_lanes_all text[] := '{}';
  v_share integer;
BEGIN
  PERFORM wake(v_now);
  IF p_max <= 0 OR p_per_workspace <= 0 THEN
    RETURN;
  END IF;
  SELECT array_agg(w) INTO v_workspaces FROM ready_workspaces(p_quarantine, p_after, p_full, p_max) w;
  FOR pass IN 1 .. 6 LOOP
    EXIT WHEN v_workspaces IS NULL OR cardinality(v_ids_all) >= p_max;
    v_share := least(p_per_workspace, ceil((p_max - cardinality(v_ids_all))::numeric / cardinality(v_workspaces))::integer);
    -- The first round first, and in it the workspaces in turn.
    SELECT array_agg(n.id ORDER BY n.round, n.place), array_agg(n.workspace ORDER BY n.round, n.place) INTO v_ids, v_of
    FROM (
      SELECT f.id, w.name AS workspace, w.place, row_number() OVER (PARTITION BY w.name) AS round
      FROM unnest(v_workspaces) WITH ORDINALITY AS w (name, place)
      CROSS JOIN LATERAL (
        SELECT count(*)::integer AS had FROM unnest(v_of_all) AS a (workspace) WHERE a.workspace = w.name
      ) h
      CROSS JOIN LATERAL first_jobs(w.name, p_quarantine, least(v_share, p_per_workspace - h.had), v_seen,
        (SELECT array_agg(l.name) FROM unnest(p_lane_workspaces, p_lanes) AS l (workspace, name) WHERE l.workspace = w.name),
        (SELECT array_agg(l.most - (SELECT count(*)::integer FROM unnest(v_of_all, v_lanes_all) AS t (workspace, lane)
            WHERE t.workspace = l.workspace AND t.lane = l.name))
          FROM unnest(p_lane_workspaces, p_lanes, p_left) AS l (workspace, name, most) WHERE l.workspace = w.name)) f
      WHERE p_per_workspace > h.had
      ORDER BY round, w.place LIMIT p_max - cardinality(v_ids_all)
    ) n;
    EXIT WHEN v_ids IS NULL;
    v_seen := v_seen || v_ids;
    -- Who gave less than their share has no more to give.
    SELECT array_agg(w.name ORDER BY w.place) INTO v_workspaces
    FROM unnest(v_workspaces) WITH ORDINALITY AS w (name, place)
    WHERE (SELECT count(*) FROM unnest(v_of) AS o (workspace) WHERE o.workspace = w.name) >= v_share;
    SELECT array_agg(t.id ORDER BY c.place), array_agg(t.workspace ORDER BY c.place), array_agg(t.lane ORDER BY c.place)
      INTO v_got_ids, v_got_of, v_got_lanes
    FROM take_jobs(v_of, v_ids, p_quarantine, p_owner, v_now + p_lease) t
    JOIN unnest(v_of, v_ids) WITH ORDINALITY AS c (workspace, id, place) ON c.workspace = t.workspace AND c.id = t.id;
    IF v_got_ids IS NOT NULL THEN
      v_ids_all := v_ids_all || v_got_ids;
      v_of_all := v_of_all || v_got_of;
      v_lanes_all := v_lanes_all || v_got_lanes;
    END IF;
  END LOOP;
  RETURN QUERY SELECT * FROM queued_jobs(v_of_all, v_ids_all);
END
$$;

-- Takes the jobs that are named and ready, in the order of their naming.
CREATE FUNCTION claim_named(p_now bigint, p_owner text, p_lease bigint, p_workspaces text[], p_ids uuid[])
RETURNS SETOF whole_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_workspaces text[];
  v_ids uuid[];
BEGIN
  PERFORM wake(v_now);
  SELECT array_agg(t.workspace ORDER BY c.place), array_agg(t.id ORDER BY c.place) INTO v_workspaces, v_ids
  FROM take_jobs(p_workspaces, p_ids, false, p_owner, v_now + p_lease) t
  JOIN (SELECT n.workspace, n.id, min(n.place) AS place FROM unnest(p_workspaces, p_ids) WITH ORDINALITY
      AS n (workspace, id, place) GROUP BY n.workspace, n.id) c ON c.workspace = t.workspace AND c.id = t.id;
  RETURN QUERY SELECT * FROM queued_jobs(v_workspaces, v_ids);
END
$$;

-- Of up to `p_workspaces` workspaces after `p_after` that have ready jobs, the first `p_each` of each lane.
CREATE FUNCTION ready_heads(p_now bigint, p_after text, p_workspaces integer, p_each integer)
RETURNS SETOF ready_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_at text := p_after;
  v_lane text;
BEGIN
  PERFORM wake(now_ms(p_now));
  FOR found IN 1 .. p_workspaces LOOP
    SELECT q.workspace INTO v_at FROM queue q WHERE q.state = 1 AND q.lost_leases = 0 AND q.workspace > v_at
    ORDER BY q.workspace LIMIT 1;
    EXIT WHEN v_at IS NULL;
    v_lane := '';
    LOOP
      SELECT q.lane INTO v_lane FROM queue q
      WHERE q.state = 1 AND q.lost_leases = 0 AND q.workspace = v_at AND q.lane > v_lane ORDER BY q.lane LIMIT 1;
      EXIT WHEN v_lane IS NULL;
      RETURN QUERY SELECT q.workspace, q.id, q.lane, q.priority, q.run_at, false FROM queue q
      WHERE q.state = 1 AND q.lost_leases = 0 AND q.workspace = v_at AND q.lane = v_lane
      ORDER BY q.priority DESC, q.seq LIMIT p_each;
    END LOOP;
  END LOOP;
END
$$;

-- Jobs whose lease has ended, locked, to be made ready again or handed out.
CREATE FUNCTION expired_jobs(p_now bigint, p_limit integer) RETURNS SETOF whole_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_workspaces text[];
  v_ids uuid[];
  v_keyed text[];
  v_keys text[];
BEGIN
  SELECT array_agg(e.workspace), array_agg(e.id), array_agg(e.workspace) FILTER (WHERE e.ordering_key IS NOT NULL),
      array_agg(e.ordering_key) FILTER (WHERE e.ordering_key IS NOT NULL)
    INTO v_workspaces, v_ids, v_keyed, v_keys
  FROM (SELECT q.workspace, q.id, q.ordering_key FROM queue q WHERE q.state = 3 AND q.lease_until <= v_now
    ORDER BY q.lease_until LIMIT p_limit) e;
  IF v_ids IS NULL THEN
    RETURN;
  END IF;
  IF v_keys IS NOT NULL THEN
    PERFORM lock_keys(v_keyed, v_keys);
  END IF;
  SELECT array_agg(e.workspace), array_agg(e.id) INTO v_workspaces, v_ids FROM (
    SELECT q.workspace, q.id FROM unnest(v_workspaces, v_ids) AS c (workspace, id)
    JOIN queue q ON q.workspace = c.workspace AND q.id = c.id
    WHERE q.state = 3 AND q.lease_until <= v_now ORDER BY q.lease_until FOR UPDATE OF q SKIP LOCKED
  ) e;
  RETURN QUERY SELECT * FROM queued_jobs(v_workspaces, v_ids);
END
$$;

-- Makes jobs ready again whose lease was lost. Answers those that an earlier one of their ordering key let go.
CREATE FUNCTION requeue_lost(p_now bigint, p_workspaces text[], p_ids uuid[])
RETURNS SETOF ready_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_keyed text[];
  v_keys text[];
BEGIN
  UPDATE queue q SET state = CASE WHEN q.ordering_key IS NOT NULL THEN 2 ELSE 1 END, run_at = v_now, fence = q.fence + 1,
    lost_leases = q.lost_leases + 1, owner = NULL, lease_until = NULL
  FROM unnest(p_workspaces, p_ids) AS c (workspace, id) WHERE q.workspace = c.workspace AND q.id = c.id AND q.state = 3;
  SELECT array_agg(q.workspace), array_agg(q.ordering_key) INTO v_keyed, v_keys
  FROM unnest(p_workspaces, p_ids) AS c (workspace, id)
  JOIN queue q ON q.workspace = c.workspace AND q.id = c.id WHERE q.ordering_key IS NOT NULL;
  IF v_keys IS NOT NULL THEN
    RETURN QUERY SELECT * FROM release_keys(v_keyed, v_keys, v_now);
  END IF;
END
$$;

-- Jobs that have lost too many leases: under a fresh lease, without a new attempt, to be settled as dead.
CREATE FUNCTION hand_out(p_now bigint, p_lease bigint, p_owner text, p_workspaces text[], p_ids uuid[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
  UPDATE queue q SET fence = q.fence + 1, lost_leases = q.lost_leases + 1, owner = p_owner,
    lease_until = now_ms(p_now) + p_lease
  FROM unnest(p_workspaces, p_ids) AS c (workspace, id) WHERE q.workspace = c.workspace AND q.id = c.id
$$;

-- Jobs that cannot be read must not stand in front of the others for ever. Opening the store gives them another chance.
CREATE FUNCTION set_aside(p_workspaces text[], p_ids uuid[]) RETURNS void LANGUAGE sql VOLATILE AS $$
  UPDATE queue q SET state = 4, owner = NULL, lease_until = NULL, attempt = greatest(q.attempt - 1, 0)
  FROM unnest(p_workspaces, p_ids) AS c (workspace, id) WHERE q.workspace = c.workspace AND q.id = c.id
$$;
CREATE FUNCTION take_up_again() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  WITH again AS (UPDATE queue q SET state = 1 WHERE q.state = 4 RETURNING 1) SELECT count(*) FROM again
$$;
CREATE INDEX queue_set_aside ON queue (seq) WHERE state = 4;

-- When the next waiting job's time comes, and whether one has come since the last claim.
CREATE FUNCTION next_due(p_now bigint) RETURNS TABLE (next bigint, due boolean) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
BEGIN
  RETURN QUERY SELECT (SELECT min(q.run_at) FROM queue q WHERE q.state = 0 AND q.run_at > v_now),
    EXISTS (SELECT FROM queue q WHERE q.state = 0 AND q.run_at <= v_now);
END
$$;

CREATE FUNCTION queue_stats(p_now bigint)
RETURNS TABLE (ready bigint, waiting bigint, running bigint, dead bigint, oldest_ready bigint, oldest_lease bigint, now bigint)
LANGUAGE sql VOLATILE AS $$
  WITH moment AS MATERIALIZED (SELECT now_ms(p_now) AS now), standing AS (
    SELECT count(*) FILTER (WHERE q.state = 1 OR (q.state = 0 AND q.run_at <= m.now)) AS ready,
      count(*) FILTER (WHERE q.state = 2 OR (q.state = 0 AND q.run_at > m.now)) AS waiting,
      count(*) FILTER (WHERE q.state = 3) AS running,
      min(q.run_at) FILTER (WHERE q.state = 1 OR (q.state = 0 AND q.run_at <= m.now)) AS oldest_ready,
      min(q.lease_until) FILTER (WHERE q.state = 3 AND q.lease_until <= m.now) AS oldest_lease
    FROM queue q CROSS JOIN moment m
  )
  SELECT s.ready, s.waiting, s.running, (SELECT count(*) FROM ended e WHERE e.state = 'dead'), s.oldest_ready,
    s.oldest_lease, m.now
  FROM standing s CROSS JOIN moment m
$$;

-- --- control

CREATE FUNCTION list_workspaces(p_after text, p_limit bigint) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT DISTINCT r.workspace FROM records r WHERE r.kind = 'workspace' AND r.workspace > p_after COLLATE "C"
  ORDER BY r.workspace LIMIT p_limit;
END
$$;

CREATE FUNCTION route_holders(p_provider text, p_kind text, p_key text) RETURNS SETOF routes LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT r.* FROM routes r WHERE r.provider = p_provider AND r.kind = p_kind AND r.key = p_key
  ORDER BY r.workspace, r.name;
END
$$;

-- The same for many callers at once.
CREATE FUNCTION find_routes(p_providers text[], p_kinds text[], p_keys text[])
RETURNS TABLE (op bigint, workspace text, name text, since bigint, verified boolean) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT w.op, r.workspace, r.name, r.since, r.verified
  FROM unnest(p_providers, p_kinds, p_keys) WITH ORDINALITY AS w (provider, kind, key, op)
  JOIN routes r ON r.provider = w.provider AND r.kind = w.kind AND r.key = w.key
  ORDER BY w.op, r.workspace, r.name;
END
$$;

CREATE FUNCTION provider_routes(p_provider text, p_limit bigint) RETURNS SETOF routes LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT r.* FROM routes r WHERE r.provider = p_provider ORDER BY r.kind, r.key, r.workspace, r.name LIMIT p_limit;
END
$$;

-- Takes a route from whoever holds it.
CREATE FUNCTION take_route(p_workspace text, p_name text) RETURNS void LANGUAGE sql VOLATILE AS $$
  DELETE FROM routes r WHERE r.workspace = p_workspace AND r.name = p_name
$$;

-- --- retention

-- What no workspace needs any more: older than this. NULL if that is not known of one of them.
CREATE FUNCTION lowest_floor(p_part text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN EXISTS (
      SELECT FROM records r WHERE r.kind = 'workspace'
        AND NOT EXISTS (SELECT FROM floors f WHERE f.workspace = r.workspace AND f.part = p_part)
    ) THEN NULL ELSE (SELECT min(f.before) FROM floors f WHERE f.part = p_part) END
$$;

DO $$
DECLARE
  duty text;
BEGIN
  GRANT CREATE ON SCHEMA orchestrator TO orchestrator_duty;
  FOREACH duty IN ARRAY ARRAY[
    'claim_jobs(bigint, text, bigint, integer, integer, boolean, text, text[], text[], text[], integer[])',
    'claim_named(bigint, text, bigint, text[], uuid[])', 'ready_heads(bigint, text, integer, integer)',
    'expired_jobs(bigint, integer)', 'requeue_lost(bigint, text[], uuid[])',
    'hand_out(bigint, bigint, text, text[], uuid[])', 'set_aside(text[], uuid[])', 'take_up_again()', 'next_due(bigint)',
    'queue_stats(bigint)', 'list_workspaces(text, bigint)', 'route_holders(text, text, text)',
    'find_routes(text[], text[], text[])',
    'provider_routes(text, bigint)', 'take_route(text, text)', 'lowest_floor(text)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = orchestrator, pg_temp', duty);
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', duty);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO orchestrator_app', duty);
    EXECUTE format('ALTER FUNCTION %s OWNER TO orchestrator_duty', duty);
  END LOOP;
  REVOKE CREATE ON SCHEMA orchestrator FROM orchestrator_duty;
END
$$;
