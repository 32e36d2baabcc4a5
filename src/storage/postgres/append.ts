/**
 * The function in the database that does a batch of commits in one round trip: all checks of a commit first, in the order
 * that every storage keeps, then its rows.
 */
import { steadyPlans } from './functions.ts'

export function appendOf(s: string): string {
  return `
  -- An outcome where some of the commit's ids are in the log already; null where none is.
  CREATE FUNCTION ${s}.repeat_1(one jsonb, ids text[], contents text[]) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
  DECLARE
    append jsonb;
    next bigint;
    at int;
    hit record;
    reused jsonb;
    known jsonb;
    misplaced jsonb;
    missing boolean := false;
    streams jsonb := '[]';
  BEGIN
    FOR append IN SELECT value FROM jsonb_array_elements(one->'appends') LOOP
      next := CASE WHEN jsonb_typeof(append->'expected') = 'number' THEN (append->>'expected')::bigint + 1 END;
      FOR at IN (append->>'first')::int .. (append->>'last')::int LOOP
        SELECT x.name, l.revision, l.position, l.time,
          CASE WHEN l.state <> 2 THEN l.content = contents[at]
          -- The first salt wins: content that has gone to the archive is compared through its commitment.
          ELSE l.commitment = sha256('daybook/content/1\\000'::bytea || l.salt || convert_to(contents[at], 'UTF8'))
          END AS same
        INTO hit FROM ${s}.log l JOIN ${s}.stream x ON x.stream_no = l.stream_no WHERE l.id = ids[at];
        IF NOT FOUND THEN
          missing := true;
          next := next + 1;
          CONTINUE;
        END IF;
        reused := jsonb_build_object(
          'outcome', 'id-reused', 'id', ids[at], 'stream', hit.name, 'revision', hit.revision);
        known := coalesce(known, reused);
        IF hit.name <> append->>'stream' OR NOT hit.same OR hit.revision <> next THEN
          misplaced := coalesce(misplaced, reused);
        END IF;
        next := hit.revision + 1;
      END LOOP;
      CONTINUE WHEN missing OR (append->>'last')::int < (append->>'first')::int;
      streams := streams || jsonb_build_object('stream', append->'stream',
        'first', hit.revision - (append->>'last')::int + (append->>'first')::int, 'last', hit.revision,
        'time', hit.time, 'position', hit.position);
    END LOOP;
    IF known IS NULL THEN RETURN NULL; END IF;
    RETURN coalesce(misplaced, CASE WHEN missing THEN known END,
      jsonb_build_object('outcome', 'committed', 'repeated', true, 'streams', streams));
  END $$;

  -- All commits of a batch, each with its outcome. Nothing is written before all checks of a commit have passed, so that
  -- a refused one leaves nothing behind; an error undoes them all. Each statement sees what was committed when it began,
  -- which only READ COMMITTED in a VOLATILE function gives.
  CREATE FUNCTION ${s}.append_1(
    commits jsonb, ids text[], types text[], contents text[], proofs bytea, tag_events int[], tags text[], clock bigint
  ) RETURNS jsonb LANGUAGE plpgsql VOLATILE ${steadyPlans} SET lock_timeout = '5s' AS $$
  DECLARE
    outcomes jsonb[] := '{}';
    outcome jsonb;
    one jsonb;
    appends jsonb;
    append jsonb;
    expected text;
    conflict jsonb;
    streams jsonb;
    ordinal int := 0;
    early_head bigint;
    early bigint[] := '{}';
    start bigint;
    head bigint;
    now_ms bigint;
    known boolean;
    written boolean := false;
    numbers bigint[];
    revisions bigint[];
    number bigint;
    revision_before bigint;
    stream_closed boolean;
    first_event int;
    last_event int;
    match bigint;
    kinds int[] := '{}';
    at int;
    event_state int;
  BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'Daybook appends in READ COMMITTED only, not in %', current_setting('transaction_isolation');
    END IF;
    PERFORM ${s}.check_schema_1();
    IF current_setting('synchronous_commit') = 'off' THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;

    -- What a condition has to look through is looked through before the lock, but for the little that comes meanwhile.
    SELECT coalesce(max(l.position), 0) INTO early_head FROM ${s}.log l;
    FOR one IN SELECT value FROM jsonb_array_elements(commits) LOOP
      ordinal := ordinal + 1;
      IF (one->>'after')::bigint >= 0 THEN
        early[ordinal] := ${s}.match_1(one->'query', (one->>'after')::bigint, early_head);
      END IF;
    END LOOP;

    IF jsonb_path_exists(commits, '$[*].appends[0]') THEN PERFORM ${s}.lock_log_1(); END IF;
    IF jsonb_path_exists(commits, '$[*].documents[0]') THEN
      PERFORM ${s}.lock_documents_1(ARRAY(
        SELECT concat(write->>'collection', ' ', write->>'key')
        FROM jsonb_array_elements(commits) c, jsonb_array_elements(c->'documents') write));
    END IF;

    SELECT l.position, l.time INTO head, now_ms FROM ${s}.log l ORDER BY l.position DESC LIMIT 1;
    head := coalesce(head, 0);
    now_ms := greatest(clock, coalesce(now_ms, 0));
    known := EXISTS (SELECT FROM ${s}.log l WHERE l.id = ANY (ids))
      OR (SELECT count(DISTINCT id) < count(*) FROM unnest(ids) id);
    ordinal := 0;

    <<each>>
    FOR one IN SELECT value FROM jsonb_array_elements(commits) LOOP
      ordinal := ordinal + 1;
      outcome := NULL;
      conflict := NULL;
      appends := one->'appends';
      numbers := '{}';
      revisions := '{}';
      FOR i IN 1 .. jsonb_array_length(appends) LOOP
        append := appends->(i - 1);
        SELECT x.stream_no, x.revision, x.closed INTO number, revision_before, stream_closed
        FROM ${s}.stream x WHERE x.name = append->>'stream';
        numbers[i] := number;
        revisions[i] := coalesce(revision_before, 0);
        IF stream_closed AND outcome IS NULL THEN
          last_event := (append->>'last')::int;
          SELECT jsonb_build_object('outcome', 'committed', 'repeated', true, 'streams', jsonb_build_array(
            jsonb_build_object('stream', append->'stream', 'first', l.revision, 'last', l.revision,
              'time', l.time, 'position', l.position)))
          INTO outcome FROM ${s}.log l
          WHERE append ? 'tombstone' AND l.id = ids[last_event] AND l.state = 1 AND l.content = contents[last_event];
          outcome := coalesce(outcome, jsonb_build_object('outcome', 'forgotten', 'stream', append->'stream'));
        END IF;
        expected := append->>'expected';
        IF conflict IS NULL AND expected <> 'any'
          AND (expected = 'exists' AND revisions[i] = 0 OR expected <> 'exists' AND expected <> revisions[i]::text)
        THEN
          conflict := jsonb_build_object('outcome', 'conflict', 'stream', append->'stream',
            'expected', append->'expected', 'actual', revisions[i]);
        END IF;
      END LOOP;

      IF outcome IS NULL AND known THEN outcome := ${s}.repeat_1(one, ids, contents); END IF;
      outcome := coalesce(outcome, conflict);

      IF outcome IS NULL AND one ? 'after' THEN
        start := (one->>'after')::bigint;
        match := NULL;
        IF start < 0 OR start > head THEN
          outcome := jsonb_build_object('outcome', 'no-such-position', 'head', head);
        ELSE
          IF start > 0 THEN
            SELECT l.position INTO match
            FROM ${s}.kind k JOIN ${s}.log t ON t.kind_no = k.kind_no AND t.position > start
            JOIN ${s}.log l ON l.stream_no = t.stream_no AND l.revision = t.revision - 1
            WHERE k.class = 1 AND l.position > start LIMIT 1;
          END IF;
          IF match IS NULL THEN
            match := early[ordinal];
            IF match IS NULL THEN
              match := ${s}.match_1(one->'query', greatest(start, early_head), head);
            ELSIF (SELECT x.closed FROM ${s}.log l JOIN ${s}.stream x ON x.stream_no = l.stream_no
              WHERE l.position = match)
            THEN
              match := ${s}.match_1(one->'query', start, head);
            END IF;
          END IF;
          IF match IS NOT NULL THEN
            SELECT jsonb_build_object('outcome', 'condition-failed', 'stream', x.name, 'revision', l.revision,
              'position', l.position)
            INTO outcome FROM ${s}.log l JOIN ${s}.stream x ON x.stream_no = l.stream_no WHERE l.position = match;
          END IF;
        END IF;
      END IF;

      IF outcome IS NULL AND one ? 'documents' THEN outcome := ${s}.check_documents_1(one); END IF;

      IF outcome IS NOT NULL THEN
        outcomes[ordinal] := outcome;
        CONTINUE each;
      END IF;

      streams := '[]';
      FOR i IN 1 .. jsonb_array_length(appends) LOOP
        append := appends->(i - 1);
        first_event := (append->>'first')::int;
        last_event := (append->>'last')::int;
        CONTINUE WHEN last_event < first_event;
        event_state := CASE WHEN append ? 'tombstone' THEN 1 ELSE 0 END;
        revision_before := revisions[i];
        number := numbers[i];
        IF number IS NULL THEN
          INSERT INTO ${s}.stream (name, type, revision, position, time, closed)
          VALUES (append->>'stream', append->>'type', last_event - first_event + 1,
            head + last_event - first_event + 1, now_ms, event_state = 1)
          RETURNING stream_no INTO number;
        ELSE
          UPDATE ${s}.stream SET revision = revision_before + last_event - first_event + 1,
            position = head + last_event - first_event + 1, time = now_ms, closed = event_state = 1
          WHERE stream_no = number;
        END IF;
        FOR at IN first_event .. last_event LOOP
          kinds[at] := CASE WHEN at > first_event AND types[at] = types[at - 1] THEN kinds[at - 1]
            ELSE ${s}.kind_number_1(append->>'type', types[at], event_state) END;
        END LOOP;
        INSERT INTO ${s}.log
          (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
        SELECT head + 1 + e - first_event, number, revision_before + 1 + e - first_event, now_ms, kinds[e], event_state,
          ids[e], contents[e], substring(proofs FROM e * 64 - 63 FOR 32), substring(proofs FROM e * 64 - 31 FOR 32)
        FROM generate_series(first_event, last_event) e;
        IF append ? 'tags' THEN
          INSERT INTO ${s}.tag (tag, position, kind_no)
          SELECT tags[e], head + 1 + tag_events[e] - first_event, kinds[tag_events[e]]
          FROM generate_series((append->'tags'->>0)::int, (append->'tags'->>1)::int) e;
        END IF;
        head := head + last_event - first_event + 1;
        written := true;
        streams := streams || jsonb_build_object('stream', append->'stream', 'first', revision_before + 1,
          'last', revision_before + last_event - first_event + 1, 'time', now_ms, 'position', head);
      END LOOP;
      IF one ? 'documents' THEN PERFORM ${s}.write_documents_1(one); END IF;
      outcomes[ordinal] := jsonb_build_object('outcome', 'committed', 'repeated', false, 'streams', streams);
    END LOOP;
    IF written THEN DELETE FROM ${s}.meta WHERE name = 'restoring'; END IF;
    RETURN to_jsonb(outcomes);
  END $$;
  `
}
