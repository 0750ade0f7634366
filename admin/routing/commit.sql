-- One change: the head, the pins and tenants that it touches, its log entry, its audit row and,
-- if the request carried a key, the row that lets it be repeated. The caller holds the head.
WITH head AS (
    UPDATE turnout.routing_head
       SET version = $1, active = $2, fallback = $3, canary_basis_points = $4, canary_unit = $5,
           canary_salt = $6, blue_endpoints = $7, green_endpoints = $8, changed_at = now()
), pinned AS (
    INSERT INTO turnout.pins (tenant, slot)
    SELECT * FROM unnest($9::text[], $10::text[])
    ON CONFLICT (tenant) DO UPDATE SET slot = excluded.slot
), unpinned AS (
    DELETE FROM turnout.pins WHERE tenant = ANY ($11::text[])
), registered AS (
    INSERT INTO turnout.tenants (tenant) SELECT unnest($12::text[]) ON CONFLICT DO NOTHING
), forgotten AS (
    DELETE FROM turnout.tenants WHERE tenant = ANY ($13::text[])
), entry AS (
    INSERT INTO turnout.changes (version, body) VALUES ($1, $14)
), repeatable AS (
    INSERT INTO turnout.idempotency (actor, key, fingerprint, version)
    SELECT $15, $22, $23, $1 WHERE $22::text IS NOT NULL
)
INSERT INTO turnout.audit
    (actor, role, action, from_state, to_state, tenants, version, outcome, request_id)
VALUES ($15, $16, $17, $18::jsonb, $19::jsonb, $20, $1, 'committed', $21);
