CREATE TABLE customers (
    tenant_id  TEXT        NOT NULL CHECK (tenant_id ~ '^[a-z0-9-]{1,63}$'),
    id         UUID        NOT NULL,
    name       TEXT        NOT NULL,
    email      TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
