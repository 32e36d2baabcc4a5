/**
 * The function in the database for what nearly every batch is: events for streams, without conditions or documents, none
 * of them recorded before, each stream where it is expected. Each of its statements is for the whole batch; whatever is
 * otherwise is left to `append_1`, and nothing was written then.
 */
import { steadyPlans } from './functions.ts'

export function appendPlainOf(s: string): string {
  return `
  -- Streams: each once, with the number of its events and the revision that it must be at (-1: any, -2: not 0). Kinds:
  -- each pair of types once. Events in order: the number of their stream and kind, the revision that follows the
  -- stream's. Answers with the head before, the time and the revisions of the streams before; null: nothing was written.
  CREATE FUNCTION ${s}.append_plain_1(
    names text[], stream_types text[], required bigint[], counts int[], last_events int[],
    kind_streams text[], kind_events text[],
    streams int[], kinds int[], steps int[], ids text[], contents text[], salts bytea[], commitments bytea[],
    tag_events int[], tags text[], clock bigint
  ) RETURNS bigint[] LANGUAGE plpgsql VOLATILE ${steadyPlans} SET lock_timeout = '5s' AS $$
  DECLARE
    head bigint;
    now_ms bigint;
    numbers bigint[];
    revisions bigint[];
    refused boolean;
    absent boolean;
    kind_numbers int[];
  BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'Daybook appends in READ COMMITTED only, not in %', current_setting('transaction_isolation');
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;
    PERFORM ${s}.lock_log_1();

    SELECT array_agg(x.stream_no ORDER BY a.number), array_agg(coalesce(x.revision, 0) ORDER BY a.number),
      bool_or(x.closed OR a.required >= 0 AND a.required <> coalesce(x.revision, 0)
        OR a.required = -2 AND x.revision IS NULL),
      bool_or(x.revision IS NULL)
    INTO numbers, revisions, refused, absent
    FROM unnest(names, required) WITH ORDINALITY a (name, required, number)
    LEFT JOIN LATERAL (
      SELECT y.stream_no, y.revision, y.closed FROM ${s}.stream y WHERE y.name = a.name OFFSET 0) x ON true;
    IF refused OR EXISTS (SELECT FROM ${s}.log l WHERE l.id = ANY (ids)) THEN RETURN NULL; END IF;

    SELECT l.position, l.time INTO head, now_ms FROM ${s}.log l ORDER BY l.position DESC LIMIT 1;
    head := coalesce(head, 0);
    now_ms := greatest(clock, coalesce(now_ms, 0));

    IF absent THEN
      INSERT INTO ${s}.stream (name, type, revision, position, time, closed)
      SELECT a.name, a.type, 0, 0, now_ms, false
      FROM unnest(names, stream_types, numbers) a (name, type, stream_no) WHERE a.stream_no IS NULL;
      numbers := ARRAY(
        SELECT (SELECT y.stream_no FROM ${s}.stream y WHERE y.name = a.name)
        FROM unnest(names) WITH ORDINALITY a (name, number) ORDER BY a.number);
    END IF;
    UPDATE ${s}.stream x SET revision = x.revision + a.events, position = head + a.last_event, time = now_ms
    FROM unnest(numbers, counts, last_events) a (stream_no, events, last_event) WHERE x.stream_no = a.stream_no;

    kind_numbers := ARRAY(
      SELECT ${s}.kind_number_1(k.stream_type, k.event_type, 0)
      FROM unnest(kind_streams, kind_events) WITH ORDINALITY k (stream_type, event_type, number) ORDER BY k.number);
    INSERT INTO ${s}.log (position, stream_no, revision, time, kind_no, state, id, content, salt, commitment)
    SELECT head + e.number, numbers[e.stream], revisions[e.stream] + e.step, now_ms, kind_numbers[e.kind], 0,
      e.id, e.content, e.salt, e.commitment
    FROM unnest(streams, kinds, steps, ids, contents, salts, commitments)
      WITH ORDINALITY e (stream, kind, step, id, content, salt, commitment, number);
    IF cardinality(tags) > 0 THEN
      INSERT INTO ${s}.tag (tag, position, kind_no)
      SELECT t.tag, head + t.event, kind_numbers[kinds[t.event]] FROM unnest(tags, tag_events) t (tag, event);
    END IF;
    DELETE FROM ${s}.meta WHERE name = 'restoring';
    RETURN ARRAY[head, now_ms] || revisions;
  END $$;
  `
}
