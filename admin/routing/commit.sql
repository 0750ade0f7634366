-- One change, if the head is still at version $24, of commit $35 and (unless $39 is null) of this generation of the
-- limits, and the server on timeline $38: the head, the pins, tenants, holds and
-- ends of affinities that it touches, its log entry, its audit row and, if the request carried a key, the row that lets it be repeated.
-- Gives the audit row's id; nothing is written, and nothing given, if the head has moved on.
WITH head AS (
    UPDATE turnout.routing_head
       SET version = $1, active = $2, fallback = $3, canary_basis_points = $4, canary_unit = $5,
           canary_salt = $6, blue_endpoints = $7, green_endpoints = $8, changed_at = now(),
           canary_allow = $25, canary_deny = $26, hold_all = $27, drains = $28::jsonb,
           blue_affinities_since = $29, green_affinities_since = $30, commit_id = $34, timeline = $38
     WHERE version = $24 AND commit_id = $35 AND turnout.timeline() = $38
       AND ($39::bigint IS NULL OR schema_generation = $39)
    RETURNING version
), pinned AS (
    INSERT INTO turnout.pins (tenant, slot)
    SELECT pin.tenant, pin.slot FROM head, unnest($9::text[], $10::text[]) AS pin (tenant, slot)
    ON CONFLICT (tenant) DO UPDATE SET slot = excluded.slot
), unpinned AS (
    DELETE FROM turnout.pins USING head WHERE tenant = ANY ($11::text[])
), registered AS (
    INSERT INTO turnout.tenants (tenant)
    SELECT name.tenant FROM head, unnest($12::text[]) AS name (tenant)
    ON CONFLICT DO NOTHING
), forgotten AS (
    DELETE FROM turnout.tenants USING head WHERE tenant = ANY ($13::text[])
), held AS (
    INSERT INTO turnout.holds (tenant, switch)
    SELECT hold.tenant, hold.switch
      FROM head, unnest($31::text[], $32::text[]) AS hold (tenant, switch)
    ON CONFLICT (tenant) DO UPDATE SET switch = excluded.switch
), released AS (
    DELETE FROM turnout.holds USING head WHERE tenant = ANY ($33::text[])
), ended AS (
    INSERT INTO turnout.affinities (tenant, since)
    SELECT name.tenant, head.version FROM head, unnest($36::text[]) AS name (tenant)
    ON CONFLICT (tenant) DO UPDATE SET since = excluded.since
), swept AS (
    DELETE FROM turnout.affinities USING head WHERE tenant = ANY ($37::text[])
), entry AS (
    INSERT INTO turnout.changes (version, body, commit_id) SELECT head.version, $14, $34 FROM head
), repeatable AS (
    INSERT INTO turnout.idempotency (actor, key, fingerprint, version)
    SELECT $15, $22, $23, head.version FROM head WHERE $22::text IS NOT NULL
)
INSERT INTO turnout.audit
    (actor, role, action, from_state, to_state, tenants, version, outcome, request_id)
SELECT $15, $16, $17, $18::jsonb, $19::jsonb, $20, head.version, 'committed', $21 FROM head
RETURNING id;
