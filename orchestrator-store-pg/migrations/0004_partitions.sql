-- Events, requests and bodies of webhooks lie in a partition a day, so that what has outlived its time is dropped with its
-- day. What falls outside of them lies in the default one, and is deleted.

-- The first id of a moment: ids are UUIDv7, whose first 48 bits are the time.
CREATE FUNCTION first_id(p_ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
  $$ SELECT (lpad(to_hex(p_ms), 12, '0') || repeat('0', 20))::uuid $$;

-- Makes the partitions of today and of the days to come, and drops those that no workspace needs any more. Safe to run on
-- many nodes. Answers how many were dropped.
CREATE FUNCTION keep_partitions(p_now bigint, p_ahead integer) RETURNS integer LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = orchestrator, pg_temp AS $$
DECLARE
  day CONSTANT bigint := 86400000;
  v_today bigint := now_ms(p_now) / day;
  v_parent text;
  v_name text;
  v_from text;
  v_to text;
  v_floor bigint;
  v_dropped integer := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(1869771876) THEN
    RETURN 0;
  END IF;
  PERFORM set_config('lock_timeout', '2s', true);
  FOREACH v_parent IN ARRAY ARRAY['events', 'requests', 'inbox_bodies'] LOOP
    FOR v_day IN v_today .. v_today + p_ahead LOOP
      v_name := v_parent || '_' || v_day;
      CONTINUE WHEN to_regclass('orchestrator.' || v_name) IS NOT NULL;
      v_from := CASE v_parent WHEN 'events' THEN (v_day * day)::text ELSE first_id(v_day * day)::text END;
      v_to := CASE v_parent WHEN 'events' THEN ((v_day + 1) * day)::text ELSE first_id((v_day + 1) * day)::text END;
      BEGIN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', v_name, v_parent, v_from, v_to);
      EXCEPTION WHEN check_violation OR lock_not_available THEN
        NULL; -- the day's rows lie in the default partition already, or somebody reads: the next time, or the next day
      END;
    END LOOP;
    v_floor := lowest_floor(v_parent);
    CONTINUE WHEN v_floor IS NULL;
    FOR v_name IN
      SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = to_regclass('orchestrator.' || v_parent) AND c.relname ~ ('^' || v_parent || '_[0-9]+$')
        AND (substring(c.relname FROM '[0-9]+$')::bigint + 1) * day <= v_floor
    LOOP
      -- Nothing of a webhook goes whose delivery is under way.
      CONTINUE WHEN v_parent = 'inbox_bodies' AND undelivered(v_name);
      BEGIN
        EXECUTE format('DROP TABLE %I', v_name);
        v_dropped := v_dropped + 1;
      EXCEPTION WHEN lock_not_available THEN
        NULL;
      END;
    END LOOP;
  END LOOP;
  RETURN v_dropped;
END
$$;

-- Whether a partition of bodies has one whose delivery has not ended.
CREATE FUNCTION undelivered(p_partition text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_day bigint := substring(p_partition FROM '[0-9]+$')::bigint;
BEGIN
  RETURN EXISTS (
    SELECT FROM queue q JOIN inbox i ON i.workspace = q.workspace AND i.job = q.id
    WHERE i.id >= first_id(v_day * 86400000) AND i.id < first_id((v_day + 1) * 86400000));
END
$$;

CREATE POLICY duty ON inbox TO orchestrator_duty USING (true);
GRANT SELECT ON inbox TO orchestrator_duty;

DO $$
BEGIN
  GRANT CREATE ON SCHEMA orchestrator TO orchestrator_duty;
  ALTER FUNCTION undelivered(text) SECURITY DEFINER SET search_path = orchestrator, pg_temp;
  ALTER FUNCTION undelivered(text) OWNER TO orchestrator_duty;
  REVOKE CREATE ON SCHEMA orchestrator FROM orchestrator_duty;
  REVOKE ALL ON FUNCTION keep_partitions(bigint, integer) FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION keep_partitions(bigint, integer) TO orchestrator_app;
END
$$;
