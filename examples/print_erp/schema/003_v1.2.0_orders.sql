CREATE TABLE orders (
    tenant_id   TEXT        NOT NULL CHECK (tenant_id ~ '^[a-z0-9-]{1,63}$'),
    id          UUID        NOT NULL,
    customer_id UUID,
    job_id      UUID,
    total_cents BIGINT      NOT NULL CHECK (total_cents >= 0),
    currency    TEXT        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id),
    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id)
);

-- The unique key is what makes a payment happen once; answer is what its first request was told.
CREATE TABLE payments (
    tenant_id       TEXT        NOT NULL,
    id              UUID        NOT NULL,
    order_id        UUID        NOT NULL,
    idempotency_key TEXT        NOT NULL,
    amount_cents    BIGINT      NOT NULL CHECK (amount_cents > 0),
    currency        TEXT        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    slot            TEXT        NOT NULL,
    answer          TEXT        NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, idempotency_key),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id)
);

CREATE INDEX payments_by_order ON payments (tenant_id, order_id);
