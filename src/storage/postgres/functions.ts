/**
 * The functions in the database that commits and reads share: where an instant lies, what matches a query, documents and
 * locks. Names carry the number of the schema that brought them: one that changes a function brings another beside it, and
 * the old one stays as long as older processes may work here.
 */

/** A plan made while the tables were small must do when they are large: probes of an index, and the same plan for good. */
export const steadyPlans = `
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off`

/** Those that are STABLE see what the statement sees that calls them. */
export function functionsOf(s: string): string {
  return `
  -- The last position that was recorded at or before the instant; 0 if none was. Times never fall, so it is halved.
  CREATE FUNCTION ${s}.position_at_1(instant bigint, head bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
  DECLARE
    known bigint := 0;
    beyond bigint := head + 1;
    middle bigint;
  BEGIN
    WHILE beyond - known > 1 LOOP
      middle := (known + beyond) / 2;
      IF (SELECT l.time FROM ${s}.log l WHERE l.position = middle) <= instant THEN known := middle;
      ELSE beyond := middle;
      END IF;
    END LOOP;
    RETURN known;
  END $$;

  CREATE FUNCTION ${s}.revision_at_1(instant bigint, stream bigint, last bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE AS $$
  DECLARE
    known bigint := 0;
    beyond bigint := last + 1;
    middle bigint;
  BEGIN
    WHILE beyond - known > 1 LOOP
      middle := (known + beyond) / 2;
      IF (SELECT l.time FROM ${s}.log l WHERE l.stream_no = stream AND l.revision = middle) <= instant
      THEN known := middle;
      ELSE beyond := middle;
      END IF;
    END LOOP;
    RETURN known;
  END $$;

  -- Records in a range of positions as one row, each column the texts of all of them: a row for each costs more than what
  -- is in it. No text here holds a line feed, for contents are JSON. Where one is longer than it may be for the page to
  -- have room for all, there are no contents. Of a closed stream all but the tombstone is forgotten.
  CREATE FUNCTION ${s}.log_page_1(
    start bigint, until bigint, most_bytes int,
    OUT head bigint, OUT streams text, OUT revisions text, OUT times text, OUT states text, OUT contents text
  ) LANGUAGE plpgsql STABLE ${steadyPlans} AS $$
  DECLARE
    fits boolean;
  BEGIN
    SELECT coalesce(max(l.position), 0) INTO head FROM ${s}.log l;
    SELECT string_agg(r.name, E'\n'), string_agg(r.revision::text, ','), string_agg(r.time::text, ','),
      string_agg(r.state::text, ''), bool_and(r.fits), string_agg(CASE WHEN r.fits THEN r.content ELSE '' END, E'\n')
    INTO streams, revisions, times, states, fits, contents
    FROM (
      SELECT x.name, l.revision, l.time, CASE WHEN x.closed AND l.state <> 1 THEN 3 ELSE l.state END AS state,
        octet_length(l.content) <= most_bytes IS NOT false AS fits,
        CASE WHEN l.content IS NULL OR x.closed AND l.state <> 1 THEN '' ELSE l.content END AS content
      FROM ${s}.log l
      CROSS JOIN LATERAL (SELECT y.name, y.closed FROM ${s}.stream y WHERE y.stream_no = l.stream_no OFFSET 0) x
      WHERE l.position > start AND l.position <= until ORDER BY l.position) r;
    IF NOT fits THEN contents := NULL; END IF;
  END $$;

  -- The number of a kind; a new one where the pair of types has not occurred yet. Wants the lock on the log.
  CREATE FUNCTION ${s}.kind_number_1(streams text, events text, its_class int) RETURNS int
  LANGUAGE plpgsql VOLATILE AS $$
  DECLARE
    found_no int := (
      SELECT k.kind_no FROM ${s}.kind k
      WHERE k.stream_type = streams AND k.event_type = events AND k.class = its_class);
  BEGIN
    IF found_no IS NULL THEN
      INSERT INTO ${s}.kind (stream_type, event_type, class) VALUES (streams, events, its_class)
      RETURNING kind_no INTO found_no;
    END IF;
    RETURN found_no;
  END $$;

  -- Positions, in order, of the first events in a range that an item of a query asks for; neither tombstones nor what
  -- was forgotten. Goes by the rarest of the tags, or by kinds. Subqueries stay as they are written: probes of an index.
  CREATE FUNCTION ${s}.matches_1(item jsonb, start bigint, until bigint, most int) RETURNS SETOF bigint
  LANGUAGE plpgsql STABLE ${steadyPlans} AS $$
  DECLARE
    tags text[] := ARRAY(SELECT DISTINCT jsonb_array_elements_text(item->'tags'));
    kinds int[];
    rarest text := tags[1];
    others text[];
  BEGIN
    IF jsonb_array_length(item->'types') > 0 THEN
      kinds := ARRAY(
        SELECT k.kind_no FROM ${s}.kind k
        WHERE k.class = 0 AND k.event_type IN (SELECT jsonb_array_elements_text(item->'types')));
    END IF;
    IF cardinality(tags) = 0 THEN
      RETURN QUERY
        SELECT m.position FROM unnest(kinds) k CROSS JOIN LATERAL (
          SELECT l.position FROM ${s}.log l
          WHERE l.kind_no = k AND l.position > start AND l.position <= until
            AND NOT (SELECT x.closed FROM ${s}.stream x WHERE x.stream_no = l.stream_no)
          ORDER BY l.position LIMIT most) m
        ORDER BY m.position LIMIT most;
      RETURN;
    END IF;
    IF cardinality(tags) > 1 THEN
      SELECT o.tag INTO rarest FROM unnest(tags) o (tag)
      ORDER BY (
        SELECT count(*) FROM (
          SELECT FROM ${s}.tag t WHERE t.tag = o.tag AND t.position > start AND t.position <= until LIMIT 1000) c)
      LIMIT 1;
    END IF;
    others := array_remove(tags, rarest);
    RETURN QUERY
      SELECT t.position FROM ${s}.tag t
      WHERE t.tag = rarest AND t.position > start AND t.position <= until
        AND (kinds IS NULL OR t.kind_no = ANY (kinds))
        -- Left to itself, the planner looks up the stream of each event before its other tags.
        AND CASE WHEN cardinality(others) = 0 OR cardinality(others)
          = (SELECT count(*) FROM ${s}.tag x WHERE x.tag = ANY (others) AND x.position = t.position)
        THEN NOT (
          SELECT x.closed FROM ${s}.log l JOIN ${s}.stream x ON x.stream_no = l.stream_no
          WHERE l.position = t.position)
        END
      ORDER BY t.position LIMIT most;
  END $$;

  CREATE FUNCTION ${s}.match_1(query jsonb, start bigint, until bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
  DECLARE
    item jsonb;
    place bigint;
  BEGIN
    IF start >= until THEN RETURN NULL; END IF;
    FOR item IN SELECT value FROM jsonb_array_elements(query) LOOP
      SELECT m INTO place FROM ${s}.matches_1(item, start, until, 1) m;
      IF place IS NOT NULL THEN RETURN place; END IF;
    END LOOP;
    RETURN NULL;
  END $$;

  -- An outcome where the commit's documents were written by it before, or a guard fails; else null.
  CREATE FUNCTION ${s}.check_documents_1(one jsonb) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
  DECLARE
    write jsonb;
    hit text;
    others boolean := false;
    mine boolean := false;
    broken jsonb;
  BEGIN
    FOR write IN SELECT value FROM jsonb_array_elements(one->'documents') LOOP
      SELECT d.version INTO hit FROM ${s}.document d
      WHERE d.collection = write->>'collection' AND d.key = write->>'key';
      IF write->>'kind' = 'put' THEN
        IF hit = one->>'id' THEN mine := true; ELSE others := true; END IF;
      END IF;
      IF broken IS NULL AND (
        write->>'if' = 'absent' AND hit IS NOT NULL
        OR write->>'if' = 'version' AND hit IS DISTINCT FROM write->>'version')
      THEN
        broken := jsonb_build_object('outcome', 'document-conflict',
            'key', jsonb_build_object('collection', write->'collection', 'key', write->'key'))
          || CASE WHEN hit IS NULL THEN '{}' ELSE jsonb_build_object('version', hit) END;
      END IF;
    END LOOP;
    IF mine AND NOT others AND (one->>'events')::int = 0 THEN
      RETURN '{"outcome":"committed","repeated":true,"streams":[]}';
    END IF;
    RETURN broken;
  END $$;

  CREATE FUNCTION ${s}.write_documents_1(one jsonb) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
  DECLARE
    write jsonb;
    hit record;
    no bigint;
  BEGIN
    FOR write IN SELECT value FROM jsonb_array_elements(one->'documents') LOOP
      CONTINUE WHEN write->>'kind' = 'check';
      SELECT d.document_no, d.attached INTO hit FROM ${s}.document d
      WHERE d.collection = write->>'collection' AND d.key = write->>'key';
      IF write->>'kind' = 'delete' THEN
        PERFORM ${s}.delete_document_1(hit.document_no);
        CONTINUE;
      END IF;
      INSERT INTO ${s}.document (collection, key, version, body, attached, words)
      VALUES (write->>'collection', write->>'key', one->>'id', write->>'body', write->'attached',
        CASE WHEN write ? 'words' THEN array_to_tsvector(ARRAY(SELECT jsonb_array_elements_text(write->'words'))) END)
      ON CONFLICT (collection, key) DO UPDATE SET
        version = excluded.version, body = excluded.body, attached = excluded.attached, words = excluded.words
      RETURNING document_no INTO no;
      -- A document mostly keeps its index values.
      CONTINUE WHEN hit.attached = write->'attached';
      PERFORM ${s}.detach_document_1(no, hit.attached);
      INSERT INTO ${s}.document_index (place, ord, key, document_no)
      SELECT decode(entry->>0, 'hex'), entry->>1, write->>'key', no
      FROM jsonb_array_elements(write->'attached'->'index') entry;
      INSERT INTO ${s}.document_stream (stream, document_no)
      SELECT DISTINCT name, no FROM jsonb_array_elements_text(write->'attached'->'streams') name;
    END LOOP;
  END $$;

  CREATE FUNCTION ${s}.detach_document_1(no bigint, its_attached jsonb) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
  BEGIN
    DELETE FROM ${s}.document_index i USING jsonb_array_elements(its_attached->'index') entry
    WHERE i.place = decode(entry->>0, 'hex') AND i.ord = entry->>1 AND i.document_no = no;
    DELETE FROM ${s}.document_stream h USING jsonb_array_elements_text(its_attached->'streams') name
    WHERE h.stream = name AND h.document_no = no;
  END $$;

  CREATE FUNCTION ${s}.delete_document_1(no bigint) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
  BEGIN
    PERFORM ${s}.detach_document_1(no, (SELECT d.attached FROM ${s}.document d WHERE d.document_no = no));
    DELETE FROM ${s}.document d WHERE d.document_no = no;
  END $$;

  -- Who writes or guards documents holds the locks of their places, always taken in one order: so neither a document
  -- that is there nor one that is not can change between the check and the write, and nobody waits in a circle.
  CREATE FUNCTION ${s}.lock_documents_1(places text[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
  BEGIN
    PERFORM pg_advisory_xact_lock('${s}.log'::regclass::oid::int, b.bucket)
    FROM (SELECT DISTINCT 1 + (hashtext(place) & 1023) AS bucket FROM unnest(places) place ORDER BY 1) b;
  END $$;

  -- First of all that writes: a migration locks meta, so that it begins when those before it have ended, and whoever
  -- comes while it runs goes on as one who came afterwards. Then this function may be gone, though it is still running.
  CREATE FUNCTION ${s}.check_schema_1() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
  BEGIN
    IF (SELECT m.value::int FROM ${s}.meta m WHERE m.name = 'oldest-schema') > 1 THEN
      RAISE undefined_function USING MESSAGE = 'A newer Daybook has ended the use of this schema by older ones';
    END IF;
  END $$;

  -- Held to the end of the transaction: so positions are dense, and become visible in their order.
  CREATE FUNCTION ${s}.lock_log_1() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
  BEGIN
    PERFORM ${s}.check_schema_1();
    PERFORM pg_advisory_xact_lock('${s}.log'::regclass::oid::int, 0);
  END $$;
  `
}
