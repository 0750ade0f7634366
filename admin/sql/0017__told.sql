-- What admins have told people, so that only one of them does, and not again too soon.
CREATE TABLE turnout.told (
    what text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
