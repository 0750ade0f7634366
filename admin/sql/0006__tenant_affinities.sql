-- Since when a tenant's affinities count: a fenced switch ends those that were made before it.

CREATE TABLE turnout.affinities (
    tenant text PRIMARY KEY CHECK (tenant ~ '^[a-z0-9-]{1,63}$'),
    since bigint NOT NULL
);
