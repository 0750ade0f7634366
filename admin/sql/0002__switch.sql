-- What a switch needs of the routing: the canary's lists, who is held, what drains, and since when
-- affinities to a slot count.

ALTER TABLE turnout.routing_head
    ADD COLUMN canary_allow text[] NOT NULL DEFAULT '{}',
    ADD COLUMN canary_deny text[] NOT NULL DEFAULT '{}',
    ADD COLUMN hold_all text NOT NULL DEFAULT '' CHECK (hold_all ~ '^[a-z0-9-]{0,64}$'),
    ADD COLUMN drains jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN blue_affinities_since bigint NOT NULL DEFAULT 0,
    ADD COLUMN green_affinities_since bigint NOT NULL DEFAULT 0;

CREATE TABLE turnout.holds (
    tenant text PRIMARY KEY CHECK (tenant ~ '^[a-z0-9-]{1,63}$'),
    switch text NOT NULL CHECK (switch ~ '^[a-z0-9-]{1,64}$')
);
