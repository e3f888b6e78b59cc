package pgstore

// All that is said to a database in use. Text goes by $n only. clock_timestamp and
// now are the database's clock.
const (
	// beginRead begins a snapshot.
	beginRead = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	endRead   = `COMMIT`
	giveUp    = `ROLLBACK`

	// getRecords tells whether the commits $3 are there, and of $1, and of what those
	// records name as read after them, what is there: live or not, each has a version.
	getRecords = `
SELECT whole, key, version, CASE WHEN live THEN value::text END, CASE WHEN live THEN raw END, (extract(epoch FROM expires) * 1000000)::bigint, ahead
FROM (
  SELECT (SELECT count(*) FROM gatehouse_attempt WHERE id = ANY($3::bigint[])) = coalesce(cardinality($3::bigint[]), 0) AS whole
) AS judged LEFT JOIN (
  SELECT key, version, value, raw, expires, ahead, expires IS NULL OR expires > coalesce($2::timestamptz, now()) AS live
  FROM gatehouse_record WHERE key = ANY($1::text[] || ARRAY(SELECT unnest(ahead) FROM gatehouse_record WHERE key = ANY($1::text[])))
) AS found ON true`

	// scanRecords lists what lives after $1, from $2 on and before $3 (empty: to the end).
	scanRecords = `
SELECT key, value::text, raw, (extract(epoch FROM expires) * 1000000)::bigint
FROM gatehouse_record
WHERE key > $1::text AND key >= $2::text AND ($3::text = '' OR key < $3::text)
  AND (value IS NOT NULL OR raw IS NOT NULL)
  AND (expires IS NULL OR expires > coalesce($4::timestamptz, now()))
ORDER BY key LIMIT $5::bigint`

	// commitRecords checks what was read and writes, for several commits: the n-th is
	// attempt $7[n]. $1 are the keys in order, each once, $10 of which commit, $2 the
	// versions that were read (0: no row, NULL: not read), $3 which are written, $4 to $6
	// and $8 what. It tells what is there where a version has changed, and writes nothing
	// of such a commit; and of none where one of the commits $9 that must be there is not.
	//
	// The rows that exist are locked in the order of their keys, so that two statements
	// wait for each other at most one way. What was found absent gets an empty row,
	// because a row that is not there can't be locked. A row that came into being
	// since is not written, which the last line turns into an error (22012): the whole
	// statement is undone.
	commitRecords = `
WITH locked AS (
  SELECT key, version, value, raw, expires FROM gatehouse_record WHERE key = ANY($1::text[]) ORDER BY key FOR UPDATE
), item AS (
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::text[], $5::bytea[], $6::timestamptz[], $8::text[], $10::int[])
    AS i (key, was, put, value, raw, expires, ahead, part)
), changed AS (
  SELECT item.part, item.key, coalesce(locked.version, 0) AS version, locked.value, locked.raw, locked.expires
  FROM item LEFT JOIN locked ON locked.key = item.key WHERE item.was <> coalesce(locked.version, 0)
), judged AS (
  SELECT (SELECT count(*) FROM gatehouse_attempt WHERE id = ANY($9::bigint[])) = coalesce(cardinality($9::bigint[]), 0) AS whole
), good AS (
  SELECT key, value, raw, expires, ahead, ($7::bigint[])[part] AS attempt FROM item
  WHERE (put OR was = 0) AND part NOT IN (SELECT part FROM changed) AND (SELECT whole FROM judged)
), attempt AS (
  INSERT INTO gatehouse_attempt (id, at, done) SELECT DISTINCT attempt, now(), true FROM good
), written AS (
  INSERT INTO gatehouse_record AS r (key, value, raw, expires, ahead, version)
  SELECT key, value::jsonb, raw, CASE WHEN value IS NULL AND raw IS NULL THEN now() ELSE expires END, string_to_array(ahead, chr(10)), attempt
  FROM good ORDER BY key
  ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, raw = excluded.raw, expires = excluded.expires, ahead = excluded.ahead, version = excluded.version
    WHERE coalesce(($2::bigint[])[array_position($1::text[], r.key)], r.version) = r.version
  RETURNING 1
)
SELECT whole, 1 / CASE WHEN (SELECT count(*) FROM written) <> (SELECT count(*) FROM good) THEN 0 ELSE 1 END, now(),
  part, key, version, value::text, raw, (extract(epoch FROM expires) * 1000000)::bigint
FROM judged LEFT JOIN changed ON true`

	// putBackRecords writes at the keys $1 what the commits $2 of the times $3 had written
	// there, $4 to $7, as if by them: where a later commit has written, nothing is. A commit
	// that is not there any more is one from long ago. later tells of each key whether it was so,
	// done whether it is written; neither: another put something there meanwhile.
	putBackRecords = `
WITH item AS (
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::bytea[], $6::timestamptz[], $7::text[])
    AS i (key, version, at, value, raw, expires, ahead)
), judged AS (
  SELECT item.*, r.version AS was, r.version IS NOT NULL AND (r.version = item.version OR coalesce(a.at >= item.at, false)) AS later
  FROM item LEFT JOIN gatehouse_record AS r ON r.key = item.key LEFT JOIN gatehouse_attempt AS a ON a.id = r.version
), attempt AS (
  INSERT INTO gatehouse_attempt (id, at, done) SELECT DISTINCT version, at, true FROM judged WHERE NOT later ON CONFLICT (id) DO NOTHING
), written AS (
  INSERT INTO gatehouse_record AS r (key, value, raw, expires, ahead, version)
  SELECT key, value::jsonb, raw, CASE WHEN value IS NULL AND raw IS NULL THEN now() ELSE expires END, string_to_array(ahead, chr(10)), version
  FROM judged WHERE NOT later ORDER BY key
  ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, raw = excluded.raw, expires = excluded.expires, ahead = excluded.ahead, version = excluded.version
    WHERE r.version = (SELECT was FROM judged WHERE judged.key = r.key)
  RETURNING key
)
SELECT judged.key, later AND was <> version, later OR written.key IS NOT NULL FROM judged LEFT JOIN written ON written.key = judged.key`

	// markHistory is a commit $1, which follows the commits $2 if they are there, and then
	// writes that node $3 is alive, and $7 at the key $6, as a record that is dead at once
	// and never read. A demoted server refuses it. It tells the time, which others were
	// alive within the last $5 seconds, the oldest first, and how large the records are.
	markHistory = `
WITH judged AS (
  SELECT NOT EXISTS (
    SELECT 1 FROM unnest($2::bigint[]) AS seen (id) WHERE NOT EXISTS (SELECT 1 FROM gatehouse_attempt AS a WHERE a.id = seen.id)
  ) AS whole
), mark AS (
  INSERT INTO gatehouse_attempt (id, at, done) SELECT $1::bigint, now(), true FROM judged WHERE whole
), alive AS (
  INSERT INTO gatehouse_node (id, name, began, seen) SELECT $3::bigint, $4::text, now(), now() FROM judged WHERE whole
  ON CONFLICT (id) DO UPDATE SET seen = now()
), probe AS (
  INSERT INTO gatehouse_record (key, raw, expires, version) SELECT $6::text, $7::bytea, now(), $1::bigint FROM judged WHERE whole
  ON CONFLICT (key) DO UPDATE SET raw = excluded.raw, version = excluded.version
), other AS (
  SELECT id, name, began FROM gatehouse_node WHERE id <> $3::bigint AND seen > now() - interval '1 second' * $5::int
)
SELECT whole, clock_timestamp(), ARRAY(SELECT id FROM other), ARRAY(SELECT name FROM other ORDER BY began), pg_total_relation_size('gatehouse_record')
FROM judged`

	// claimAttempt has attempt $1 fail if it has not succeeded yet: its own row would
	// be the second with its id. What it waits for is a commit still under way.
	claimAttempt = `INSERT INTO gatehouse_attempt (id, at, done) VALUES ($1::bigint, now(), false) ON CONFLICT (id) DO NOTHING`
	readAttempt  = `SELECT done, at FROM gatehouse_attempt WHERE id = $1::bigint`

	// sweepRecords deletes at most $2 rows that have been dead for longer than any node
	// remembers what it wrote (twice keptFor): where history is put back, no row means
	// that none was there, and a deletion is a version of its own.
	sweepRecords = `
DELETE FROM gatehouse_record WHERE key IN (
  SELECT key FROM gatehouse_record WHERE expires < coalesce($1::timestamptz, now()) - interval '21 minutes'
  ORDER BY expires LIMIT $2::bigint FOR UPDATE SKIP LOCKED
)`
	// sweepAttempts deletes at most $1 of those that no node asks for: after what it
	// remembers there is no commit without its time.
	sweepAttempts = `
DELETE FROM gatehouse_attempt WHERE id IN (
  SELECT id FROM gatehouse_attempt WHERE at < now() - interval '21 minutes' ORDER BY at LIMIT $1::bigint FOR UPDATE SKIP LOCKED
)`

	// markedSince counts those of nodes $1 that were alive after $2.
	markedSince = `SELECT count(*) FROM gatehouse_node WHERE id = ANY($1::bigint[]) AND seen > $2::timestamptz`
	tellTime    = `SELECT clock_timestamp()`
	// lookForNode tells whether node $1 was alive within the last $2 seconds.
	lookForNode = `SELECT seen > now() - interval '1 second' * $2::int FROM gatehouse_node WHERE id = $1::bigint`
	forgetNode  = `DELETE FROM gatehouse_node WHERE id = $1::bigint`
	forgetNodes = `DELETE FROM gatehouse_node WHERE seen < now() - interval '1 day'`
)
