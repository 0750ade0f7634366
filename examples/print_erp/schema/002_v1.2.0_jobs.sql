CREATE TABLE jobs (
    tenant_id   TEXT        NOT NULL CHECK (tenant_id ~ '^[a-z0-9-]{1,63}$'),
    id          UUID        NOT NULL,
    customer_id UUID,
    title       TEXT        NOT NULL,
    quantity    INTEGER     NOT NULL CHECK (quantity > 0),
    status      TEXT        NOT NULL DEFAULT 'queued'
                CHECK (status IN ('queued', 'printing', 'done', 'cancelled')),
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id)
);

-- The list filters by status and pages by id, newest first.
CREATE INDEX jobs_by_status ON jobs (tenant_id, status, id);
