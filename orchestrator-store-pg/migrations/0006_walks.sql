-- Statements that look jobs up one by one, by the key of the queue, whatever was known of the tables when they were planned. Plans
-- are kept, and most are made while the queue is empty: then walking along all that runs, for each end, looks as cheap as
-- one step along the key, and it is not when a thousand jobs run.
--
-- Nothing was released before this: it replaces functions in place, and the build before it does not run beside it.
--
-- `LATERAL` with a lock or an `OFFSET` is not flattened into a join; `state + 0` fits none of the partial indexes.

-- What a row's workspace is held against must not become a condition of an index: a lookup in a transaction about a hundred workspaces
-- would look a hundred times. Statements name the workspace of what they look for by themselves. The names are the keys of an object,
-- which is searched by halves.
CREATE FUNCTION named_workspaces() RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT jsonb_object(n, n) FROM string_to_array(current_setting('orchestrator.workspaces', true), ',') n $$;

DO $$
DECLARE
  tenant text;
BEGIN
  FOREACH tenant IN ARRAY ARRAY['records', 'routes', 'audit', 'audit_heads', 'counters', 'events', 'jobs', 'queue', 'ended',
    'inbox', 'inbox_bodies', 'requests', 'idempotency', 'payloads', 'payload_names', 'floors'] LOOP
    EXECUTE format('ALTER POLICY named ON %I USING ((SELECT named_workspaces()) ? workspace)', tenant);
  END LOOP;
END
$$;

-- Whether any of these workspaces has a job with an ordering key: a look for each of them, where otherwise there is one for each job.
CREATE FUNCTION any_keys(p_workspaces text[]) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM (SELECT DISTINCT n.workspace FROM unnest(p_workspaces) AS n (workspace)) w CROSS JOIN LATERAL (
      SELECT FROM queue q WHERE q.workspace = w.workspace AND q.ordering_key IS NOT NULL LIMIT 1
    ) k);
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
  IF any_keys(ARRAY(SELECT e.workspace FROM unnest(p_ends) e)) THEN
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

CREATE OR REPLACE FUNCTION renew(p_context text, p_now bigint, p_lease bigint, p_workspaces text[], p_ids uuid[], p_fences bigint[])
RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
BEGIN
  PERFORM FROM unnest(p_workspaces, p_ids) AS h (workspace, id) JOIN queue q ON q.workspace = h.workspace AND q.id = h.id
  ORDER BY q.workspace, q.id FOR UPDATE OF q;
  RETURN QUERY
  UPDATE queue q SET lease_until = v_now + p_lease
  FROM unnest(p_workspaces, p_ids, p_fences) WITH ORDINALITY AS h (workspace, id, fence, place)
  WHERE q.workspace = h.workspace AND q.id = h.id AND q.fence = h.fence AND q.state + 0 = 3
  RETURNING h.place;
END
$$;

CREATE OR REPLACE FUNCTION expired_jobs(p_now bigint, p_limit integer) RETURNS SETOF whole_job LANGUAGE plpgsql VOLATILE AS $$
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
  SELECT array_agg(c.workspace ORDER BY c.place), array_agg(c.id ORDER BY c.place) INTO v_workspaces, v_ids
  FROM unnest(v_workspaces, v_ids) WITH ORDINALITY AS c (workspace, id, place)
  CROSS JOIN LATERAL (
    SELECT FROM queue q WHERE q.workspace = c.workspace AND q.id = c.id AND q.state + 0 = 3 AND q.lease_until <= v_now
    FOR UPDATE SKIP LOCKED
  ) l;
  RETURN QUERY SELECT * FROM queued_jobs(v_workspaces, v_ids);
END
$$;

CREATE OR REPLACE FUNCTION requeue_lost(p_now bigint, p_workspaces text[], p_ids uuid[])
RETURNS SETOF ready_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_keyed text[];
  v_keys text[];
BEGIN
  WITH again AS (
    UPDATE queue q SET state = CASE WHEN q.ordering_key IS NOT NULL THEN 2 ELSE 1 END, run_at = v_now, fence = q.fence + 1,
      lost_leases = q.lost_leases + 1, owner = NULL, lease_until = NULL
    FROM unnest(p_workspaces, p_ids) AS c (workspace, id)
    WHERE q.workspace = c.workspace AND q.id = c.id AND q.state + 0 = 3
    RETURNING q.workspace, q.ordering_key
  )
  SELECT array_agg(a.workspace), array_agg(a.ordering_key) INTO v_keyed, v_keys
  FROM again a WHERE a.ordering_key IS NOT NULL;
  IF v_keys IS NOT NULL THEN
    RETURN QUERY SELECT * FROM release_keys(v_keyed, v_keys, v_now);
  END IF;
END
$$;

-- An event about a job names it by its id: the database knows it, and it is half as long as its text.
ALTER TABLE events ADD COLUMN job uuid;

-- An event without a subject is about its job. Mostly all are one workspace's: then its counter is all that there is to find out.
CREATE OR REPLACE FUNCTION append_events(p_events new_event[], p_now bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_workspace text := (p_events[1]).workspace;
  v_last bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM unnest(p_events) e WHERE e.workspace <> v_workspace) THEN
    INSERT INTO counters AS c (workspace, events) VALUES (v_workspace, cardinality(p_events))
    ON CONFLICT (workspace) DO UPDATE SET events = c.events + excluded.events
    RETURNING c.events INTO v_last;
    INSERT INTO events (workspace, number, time, kind, subject, job, trace, data)
    SELECT e.workspace, v_last - cardinality(p_events) + e.place, p_now, e.kind, e.subject,
      CASE WHEN e.subject = '' THEN e.job END, e.trace, e.data
    FROM unnest(p_events) WITH ORDINALITY AS e (op, job, workspace, kind, subject, trace, data, place);
    RETURN;
  END IF;
  WITH counted AS (
    INSERT INTO counters AS c (workspace, events)
    SELECT e.workspace, count(*) FROM unnest(p_events) e GROUP BY e.workspace ORDER BY e.workspace COLLATE "C"
    ON CONFLICT (workspace) DO UPDATE SET events = c.events + excluded.events
    RETURNING c.workspace, c.events
  )
  INSERT INTO events (workspace, number, time, kind, subject, job, trace, data)
  SELECT e.workspace, c.events + 1 - row_number() OVER (PARTITION BY e.workspace ORDER BY e.place DESC), p_now, e.kind, e.subject,
    CASE WHEN e.subject = '' THEN e.job END, e.trace, e.data
  FROM unnest(p_events) WITH ORDINALITY AS e (op, job, workspace, kind, subject, trace, data, place)
  JOIN counted c ON c.workspace = e.workspace;
END
$$;

-- Makes jobs ready whose time has come, if there is one.
CREATE FUNCTION wake_due(p_now bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF EXISTS (SELECT FROM queue q WHERE q.state = 0 AND q.run_at <= p_now) THEN
    PERFORM wake(p_now);
  END IF;
END
$$;

-- Jobs that were taken just now, in the order that they are named in, after their events: the claim, the attempt that it counts and
-- what is told of it are one statement. `JobRecord::started_event` has the same words.
CREATE FUNCTION started_jobs(p_workspaces text[], p_ids uuid[], p_now bigint) RETURNS SETOF whole_job
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_events new_event[];
BEGIN
  SELECT array_agg(ROW(0, c.id, c.workspace, 'job.started', '', j.trace,
      concat('{"attempt":', q.attempt, ',"max_attempts":', j.max_attempts, '}'))::new_event ORDER BY c.place) INTO v_events
  FROM unnest(p_workspaces, p_ids) WITH ORDINALITY AS c (workspace, id, place)
  JOIN queue q ON q.workspace = c.workspace AND q.id = c.id
  JOIN jobs j ON j.workspace = c.workspace AND j.id = c.id
  WHERE j.kind <> 'callback';
  IF v_events IS NOT NULL THEN
    PERFORM append_events(v_events, p_now);
  END IF;
  RETURN QUERY SELECT * FROM queued_jobs(p_workspaces, p_ids);
END
$$;

CREATE OR REPLACE FUNCTION take_jobs(p_workspaces text[], p_ids uuid[], p_quarantine boolean, p_owner text, p_until bigint)
RETURNS TABLE (workspace text, id uuid, lane text) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH free AS (
    SELECT l.place FROM unnest(p_workspaces, p_ids) AS c (workspace, id) CROSS JOIN LATERAL (
      SELECT q.ctid AS place FROM queue q
      WHERE q.workspace = c.workspace AND q.id = c.id AND q.state + 0 = 1 AND (q.lost_leases > 0) = p_quarantine
      FOR UPDATE SKIP LOCKED
    ) l
  )
  -- What is locked stays where it lies.
  UPDATE queue q SET state = 3, attempt = q.attempt + 1, fence = q.fence + 1, owner = p_owner, lease_until = p_until
  FROM free f WHERE q.ctid = f.place
  RETURNING q.workspace, q.id, q.lane;
END
$$;

-- One index for what is ready and what has lost a lease: one statement serves both.
CREATE INDEX queue_turns ON queue ((lost_leases > 0), workspace, lane, priority DESC, seq) INCLUDE (id) WHERE state = 1;

-- Lanes with ready jobs, workspace by workspace from after `p_after` on, up to `p_max` workspaces: by jumping from one to the next in
-- the index, however many jobs each has. `turn` counts the workspaces.
CREATE FUNCTION ready_lanes(p_quarantine boolean, p_after text, p_full text[], p_max integer)
RETURNS TABLE (workspace text, lane text, turn integer) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE found AS (
    (SELECT q.workspace, q.lane, (NOT q.workspace = ANY (p_full))::integer AS turn, 1 AS looked
    FROM queue q WHERE q.state = 1 AND (q.lost_leases > 0) = p_quarantine AND q.workspace > p_after
    ORDER BY q.workspace, q.lane LIMIT 1)
    UNION ALL
    SELECT n.workspace, n.lane, f.turn + (n.workspace <> f.workspace AND NOT n.workspace = ANY (p_full))::integer, f.looked + 1
    FROM found f CROSS JOIN LATERAL (
      -- No lane's name is behind a tilde: of a workspace that may have no more, none is looked at.
      SELECT q.workspace, q.lane FROM queue q WHERE q.state = 1 AND (q.lost_leases > 0) = p_quarantine
        AND (q.workspace, q.lane) > (f.workspace, CASE WHEN f.workspace = ANY (p_full) THEN '~' ELSE f.lane END)
      ORDER BY q.workspace, q.lane LIMIT 1
    ) n
    WHERE f.turn <= p_max AND f.looked < 4096
  )
  SELECT f.workspace, f.lane, f.turn FROM found f WHERE f.turn <= p_max AND NOT f.workspace = ANY (p_full);
END
$$;

-- Takes ready jobs, fair over workspaces: those whose turn it is give one each, round by round, until all have given what
-- they may. What another is taking at the same moment is passed over, and the next ones are looked at instead.
CREATE OR REPLACE FUNCTION claim_jobs(p_now bigint, p_owner text, p_lease bigint, p_max integer, p_per_workspace integer,
  p_quarantine boolean, p_after text, p_full text[], p_lane_workspaces text[], p_lanes text[], p_left integer[])
RETURNS SETOF whole_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  -- So many workspaces are looked at: one that has only lanes that are paused takes nobody's place.
  v_looked integer := p_max + (SELECT count(*)::integer FROM unnest(p_left) AS l (most) WHERE l.most <= 0);
  -- The lanes that may have more to give, whose turn each is, and how many each may give.
  v_workspaces text[];
  v_lanes text[];
  v_turns integer[];
  v_most integer[];
  v_share integer;
  v_seen uuid[] := '{}';
  v_ids uuid[];
  v_of text[];
  v_got_ids uuid[];
  v_got_of text[];
  v_got_lanes text[];
  v_ids_all uuid[] := '{}';
  v_of_all text[] := '{}';
BEGIN
  PERFORM wake_due(v_now);
  IF p_max <= 0 OR p_per_workspace <= 0 THEN
    RETURN;
  END IF;
  -- Those after the turn first, then from the beginning to it: both come in their order.
  SELECT array_agg(r.workspace), array_agg(r.lane), array_agg(r.turn), array_agg(r.most)
    INTO v_workspaces, v_lanes, v_turns, v_most
  FROM (
    SELECT l.workspace, l.lane, l.turn, coalesce(m.most, p_max) AS most
    FROM (
      SELECT a.* FROM ready_lanes(p_quarantine, p_after, p_full, v_looked) a
      UNION ALL
      SELECT b.workspace, b.lane, b.turn + v_looked FROM ready_lanes(p_quarantine, '', p_full, v_looked) b
      WHERE p_after <> '' AND b.workspace <= p_after COLLATE "C"
    ) l
    LEFT JOIN (
      SELECT g.workspace, g.lane, min(g.most) AS most FROM unnest(p_lane_workspaces, p_lanes, p_left) AS g (workspace, lane, most)
      GROUP BY g.workspace, g.lane
    ) m ON m.workspace = l.workspace AND m.lane = l.lane
    ORDER BY l.turn, l.lane
  ) r WHERE r.most > 0;
  FOR pass IN 1 .. 6 LOOP
    EXIT WHEN v_workspaces IS NULL OR cardinality(v_ids_all) >= p_max;
    v_share := least(p_per_workspace,
      ceil((p_max - cardinality(v_ids_all))::numeric / (SELECT count(DISTINCT w) FROM unnest(v_workspaces) w))::integer);
    -- The first round first, and in it the workspaces in turn.
    SELECT array_agg(n.id), array_agg(n.workspace) INTO v_ids, v_of
    FROM (
      SELECT r.id, r.workspace, r.turn, r.round
      FROM (
        SELECT f.id, l.workspace, l.turn, coalesce(h.had, 0) AS had,
          row_number() OVER (PARTITION BY l.workspace ORDER BY f.priority DESC, f.seq) AS round
        FROM unnest(v_workspaces, v_lanes, v_turns, v_most) AS l (workspace, lane, turn, most)
        LEFT JOIN (SELECT a.workspace, count(*) AS had FROM unnest(v_of_all) AS a (workspace) GROUP BY a.workspace) h
          ON h.workspace = l.workspace
        CROSS JOIN LATERAL (
          SELECT q.id, q.priority, q.seq FROM queue q
          WHERE q.state = 1 AND (q.lost_leases > 0) = p_quarantine AND q.workspace = l.workspace AND q.lane = l.lane
            AND NOT q.id = ANY (v_seen)
          ORDER BY q.priority DESC, q.seq LIMIT least(v_share, l.most)
        ) f
      ) r
      WHERE r.round <= least(v_share, p_per_workspace - r.had)
      ORDER BY r.round, r.turn LIMIT p_max - cardinality(v_ids_all)
    ) n;
    EXIT WHEN v_ids IS NULL;
    SELECT array_agg(t.id ORDER BY c.place), array_agg(t.workspace ORDER BY c.place), array_agg(t.lane ORDER BY c.place)
      INTO v_got_ids, v_got_of, v_got_lanes
    FROM take_jobs(v_of, v_ids, p_quarantine, p_owner, v_now + p_lease) t
    JOIN unnest(v_of, v_ids) WITH ORDINALITY AS c (workspace, id, place) ON c.workspace = t.workspace AND c.id = t.id;
    IF v_got_ids IS NOT NULL THEN
      v_ids_all := v_ids_all || v_got_ids;
      v_of_all := v_of_all || v_got_of;
    END IF;
    EXIT WHEN cardinality(v_ids_all) >= p_max;
    v_seen := v_seen || v_ids;
    -- Whoever gave less than their share has no more to give.
    SELECT array_agg(l.workspace ORDER BY l.place), array_agg(l.lane ORDER BY l.place), array_agg(l.turn ORDER BY l.place),
        array_agg(l.most - l.had ORDER BY l.place)
      INTO v_workspaces, v_lanes, v_turns, v_most
    FROM (
      SELECT m.*, (SELECT count(*)::integer FROM unnest(v_got_of, v_got_lanes) AS g (workspace, lane)
          WHERE g.workspace = m.workspace AND g.lane = m.lane) AS had
      FROM unnest(v_workspaces, v_lanes, v_turns, v_most) WITH ORDINALITY AS m (workspace, lane, turn, most, place)
      JOIN (SELECT o.workspace FROM unnest(v_of) AS o (workspace) GROUP BY o.workspace HAVING count(*) >= v_share) w
        ON w.workspace = m.workspace
    ) l WHERE l.most > l.had;
  END LOOP;
  RETURN QUERY SELECT * FROM started_jobs(v_of_all, v_ids_all, v_now);
END
$$;

CREATE OR REPLACE FUNCTION claim_named(p_now bigint, p_owner text, p_lease bigint, p_workspaces text[], p_ids uuid[])
RETURNS SETOF whole_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now bigint := now_ms(p_now);
  v_workspaces text[];
  v_ids uuid[];
BEGIN
  PERFORM wake_due(v_now);
  SELECT array_agg(t.workspace ORDER BY c.place), array_agg(t.id ORDER BY c.place) INTO v_workspaces, v_ids
  FROM take_jobs(p_workspaces, p_ids, false, p_owner, v_now + p_lease) t
  JOIN (SELECT n.workspace, n.id, min(n.place) AS place FROM unnest(p_workspaces, p_ids) WITH ORDINALITY
      AS n (workspace, id, place) GROUP BY n.workspace, n.id) c ON c.workspace = t.workspace AND c.id = t.id;
  RETURN QUERY SELECT * FROM started_jobs(v_workspaces, v_ids, v_now);
END
$$;

-- Of up to `p_workspaces` workspaces after `p_after` that have ready jobs, the first `p_each` of each lane.
CREATE OR REPLACE FUNCTION ready_heads(p_now bigint, p_after text, p_workspaces integer, p_each integer)
RETURNS SETOF ready_job LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_quarantine boolean := false;
BEGIN
  PERFORM wake_due(now_ms(p_now));
  RETURN QUERY
  SELECT f.workspace, f.id, f.lane, f.priority, f.run_at, false
  FROM ready_lanes(v_quarantine, p_after, '{}', p_workspaces) l
  CROSS JOIN LATERAL (
    SELECT q.workspace, q.id, q.lane, q.priority, q.seq, q.run_at FROM queue q
    WHERE q.state = 1 AND (q.lost_leases > 0) = v_quarantine AND q.workspace = l.workspace AND q.lane = l.lane
    ORDER BY q.priority DESC, q.seq LIMIT p_each
  ) f
  ORDER BY l.turn, f.lane, f.priority DESC, f.seq;
END
$$;

DROP FUNCTION first_jobs(text, boolean, integer, uuid[], text[], integer[]);
DROP FUNCTION ready_workspaces(boolean, text, text[], integer);
DROP INDEX queue_ready;
DROP INDEX queue_quarantine;

-- Control records, for many callers at once.
CREATE FUNCTION find_records(p_context text, p_owners text[], p_kinds text[], p_keys text[])
RETURNS TABLE (op bigint, key text, version bigint, body bytea, updated_at bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT w.op, r.key, r.version, r.body, r.updated_at
  FROM unnest(p_owners, p_kinds, p_keys) WITH ORDINALITY AS w (owner, kind, key, op)
  CROSS JOIN LATERAL (
    SELECT r.* FROM records r WHERE r.workspace = w.owner AND r.kind = w.kind AND r.key = w.key OFFSET 0
  ) r;
END
$$;

-- A function that is replaced forgets these; its owner and who may call it stay.
ALTER FUNCTION claim_jobs(bigint, text, bigint, integer, integer, boolean, text, text[], text[], text[], integer[])
  SECURITY DEFINER SET search_path = orchestrator, pg_temp;
ALTER FUNCTION claim_named(bigint, text, bigint, text[], uuid[]) SECURITY DEFINER SET search_path = orchestrator, pg_temp;
ALTER FUNCTION expired_jobs(bigint, integer) SECURITY DEFINER SET search_path = orchestrator, pg_temp;
ALTER FUNCTION requeue_lost(bigint, text[], uuid[]) SECURITY DEFINER SET search_path = orchestrator, pg_temp;
ALTER FUNCTION ready_heads(bigint, text, integer, integer) SECURITY DEFINER SET search_path = orchestrator, pg_temp;

DROP FUNCTION current_workspaces();
