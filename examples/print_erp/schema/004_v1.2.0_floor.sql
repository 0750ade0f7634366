-- A print runs in the memory of one instance; updated_at tells whether that instance still lives.
CREATE TABLE prints (
    tenant_id  TEXT             NOT NULL,
    id         UUID             NOT NULL,
    job_id     UUID             NOT NULL,
    pages      INTEGER          NOT NULL CHECK (pages > 0),
    pages_done INTEGER          NOT NULL DEFAULT 0,
    seconds    DOUBLE PRECISION NOT NULL,
    state      TEXT             NOT NULL DEFAULT 'running'
               CHECK (state IN ('running', 'done', 'interrupted')),
    slot       TEXT             NOT NULL,
    version    TEXT             NOT NULL,
    instance   TEXT             NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ      NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX prints_by_job ON prints (tenant_id, job_id);
CREATE INDEX prints_running ON prints (tenant_id) WHERE state = 'running';

-- connection is the socket that owns the row, NULL once it has closed; seen_at is renewed while it is open.
CREATE TABLE equipment (
    tenant_id  TEXT        NOT NULL,
    printer_id TEXT        NOT NULL,
    counter    BIGINT      NOT NULL DEFAULT 0,
    state      TEXT        NOT NULL DEFAULT 'idle',
    slot       TEXT        NOT NULL,
    instance   TEXT        NOT NULL,
    connection UUID,
    seen_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, printer_id)
);
