/** The function in the database for a plain batch whose commits write documents too, as those that keep views do. */
import { steadyPlans } from './functions.ts'

export function appendDocumentsOf(s: string): string {
  /** What of a document stands in other tables goes where it is not what it was. */
  const changed = "(w.action = 2 OR w.action = 1 AND w.had IS DISTINCT FROM nullif(w.attached, '')::jsonb)"
  return `
  -- Beside the columns of append_plain_1 the documents, each place once: what is done there after all (0: nothing, 1: put,
  -- 2: delete), what must be there before (0: anything, 1: nothing, 2: a version), and what is put. Null: nothing was written.
  CREATE FUNCTION ${s}.append_documents_1(
    names text[], stream_types text[], required bigint[], counts int[], last_events int[],
    kind_streams text[], kind_events text[],
    streams int[], kinds int[], steps int[], ids text[], contents text[], salts bytea[], commitments bytea[],
    tag_events int[], tags text[], clock bigint,
    actions int[], collections text[], keys text[], guards int[], guarded text[],
    versions text[], bodies text[], attachments text[], texts text[]
  ) RETURNS bigint[] LANGUAGE plpgsql VOLATILE ${steadyPlans} SET lock_timeout = '5s' AS $$
  DECLARE
    numbers bigint[];
    had jsonb[];
    broken boolean;
    absent boolean;
    moved boolean;
    answer bigint[];
  BEGIN
    PERFORM ${s}.lock_log_1();
    PERFORM ${s}.lock_documents_1(ARRAY(SELECT concat(w.collection, ' ', w.key) FROM unnest(collections, keys) w (collection, key)));
    SELECT array_agg(d.document_no ORDER BY w.number), array_agg(d.attached ORDER BY w.number),
      bool_or(w.guard = 1 AND d.version IS NOT NULL OR w.guard = 2 AND d.version IS DISTINCT FROM w.guarded),
      bool_or(w.action = 1 AND d.version IS NULL),
      bool_or(w.action = 2 OR w.action = 1 AND d.attached IS DISTINCT FROM nullif(w.attached, '')::jsonb)
    INTO numbers, had, broken, absent, moved
    FROM unnest(collections, keys, guards, guarded, actions, attachments)
      WITH ORDINALITY w (collection, key, guard, guarded, action, attached, number)
    LEFT JOIN LATERAL (
      SELECT e.document_no, e.version, e.attached FROM ${s}.document e
      WHERE e.collection = w.collection AND e.key = w.key OFFSET 0) d ON true;
    IF broken THEN RETURN NULL; END IF;
    answer := ${s}.append_plain_1(names, stream_types, required, counts, last_events, kind_streams, kind_events,
      streams, kinds, steps, ids, contents, salts, commitments, tag_events, tags, clock);
    IF answer IS NULL THEN RETURN NULL; END IF;

    UPDATE ${s}.document d SET version = w.version, body = w.body, attached = w.attached::jsonb,
      words = CASE WHEN w.words <> '' THEN array_to_tsvector(ARRAY(SELECT jsonb_array_elements_text(w.words::jsonb))) END
    FROM unnest(numbers, actions, versions, bodies, attachments, texts) w (no, action, version, body, attached, words)
    WHERE w.action = 1 AND d.document_no = w.no;
    IF absent THEN
      INSERT INTO ${s}.document (collection, key, version, body, attached, words)
      SELECT w.collection, w.key, w.version, w.body, w.attached::jsonb,
        CASE WHEN w.words <> '' THEN array_to_tsvector(ARRAY(SELECT jsonb_array_elements_text(w.words::jsonb))) END
      FROM unnest(numbers, actions, collections, keys, versions, bodies, attachments, texts)
        w (no, action, collection, key, version, body, attached, words)
      WHERE w.action = 1 AND w.no IS NULL;
      numbers := ARRAY(
        SELECT coalesce(w.no, (SELECT d.document_no FROM ${s}.document d WHERE d.collection = w.collection AND d.key = w.key))
        FROM unnest(numbers, collections, keys) WITH ORDINALITY w (no, collection, key, number) ORDER BY w.number);
    END IF;
    IF moved THEN
      DELETE FROM ${s}.document_index i USING unnest(numbers, actions, had, attachments) w (no, action, had, attached),
        jsonb_array_elements(w.had->'index') entry
      WHERE ${changed} AND i.place = decode(entry->>0, 'hex') AND i.ord = entry->>1 AND i.document_no = w.no;
      DELETE FROM ${s}.document_stream h USING unnest(numbers, actions, had, attachments) w (no, action, had, attached),
        jsonb_array_elements_text(w.had->'streams') name
      WHERE ${changed} AND h.stream = name AND h.document_no = w.no;
      INSERT INTO ${s}.document_index (place, ord, key, document_no)
      SELECT decode(entry->>0, 'hex'), entry->>1, w.key, w.no
      FROM unnest(numbers, actions, had, attachments, keys) w (no, action, had, attached, key),
        jsonb_array_elements(w.attached::jsonb->'index') entry
      WHERE w.action = 1 AND ${changed};
      INSERT INTO ${s}.document_stream (stream, document_no)
      SELECT DISTINCT name, w.no FROM unnest(numbers, actions, had, attachments) w (no, action, had, attached),
        jsonb_array_elements_text(w.attached::jsonb->'streams') name
      WHERE w.action = 1 AND ${changed};
      DELETE FROM ${s}.document d USING unnest(numbers, actions) w (no, action)
      WHERE w.action = 2 AND d.document_no = w.no;
    END IF;
    RETURN answer;
  END $$;
  `
}
