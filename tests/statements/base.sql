-- The print shop's schema as its old version knows it: what every case of the corpus begins with.
--
-- Each table has pages enough that reading all of it differs from reading a row. The view and the
-- functions use columns that no case changes, as PostgreSQL would refuse the change. `erp` is the
-- role that the old version works as. Nothing vacuums but a case.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'erp') THEN CREATE ROLE erp; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'auditor') THEN CREATE ROLE auditor; END IF;
END $$;

CREATE TYPE job_status AS ENUM ('draft', 'printing', 'done');
CREATE TYPE address AS (street text, city text);
CREATE DOMAIN percentage AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE SEQUENCE job_numbers;

CREATE TABLE customers (
    id bigint PRIMARY KEY,
    tenant_id int NOT NULL,
    email varchar(255) NOT NULL UNIQUE,
    name varchar(50),
    phone text,
    country char(2) NOT NULL DEFAULT 'DE',
    discount percentage NOT NULL DEFAULT 0,
    credit numeric(10, 2) NOT NULL DEFAULT 0,
    created_at timestamp NOT NULL DEFAULT '2026-01-01'
) WITH (autovacuum_enabled = false);

CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    tenant_id int NOT NULL,
    customer_id bigint NOT NULL,
    customer_name varchar(100),
    quantity int NOT NULL DEFAULT 1,
    legacy_field text,
    status job_status NOT NULL DEFAULT 'draft',
    note text,
    price numeric(10, 2),
    due date,
    created_at timestamp NOT NULL DEFAULT '2026-01-01'
) WITH (autovacuum_enabled = false);
CREATE INDEX jobs_tenant ON jobs (tenant_id);

CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL CONSTRAINT orders_customer REFERENCES customers ON DELETE CASCADE,
    job_id bigint,
    total numeric(10, 2) NOT NULL CONSTRAINT orders_total_positive CHECK (total >= 0),
    placed date NOT NULL DEFAULT '2026-01-01'
) WITH (autovacuum_enabled = false);
CREATE INDEX orders_customer_id ON orders (customer_id);

CREATE TABLE events (
    id bigint,
    at date NOT NULL,
    what text,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
    WITH (autovacuum_enabled = false);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
    WITH (autovacuum_enabled = false);
CREATE TABLE events_2027 (id bigint NOT NULL, at date NOT NULL, what text)
    WITH (autovacuum_enabled = false);

CREATE SCHEMA reports;
CREATE TABLE reports.daily (day date PRIMARY KEY, jobs int NOT NULL)
    WITH (autovacuum_enabled = false);

INSERT INTO customers (id, tenant_id, email, name, phone)
SELECT n, n % 10, 'c' || n || '@example.com', 'Customer ' || n, rpad('+49 ' || n, 60, ' ')
FROM generate_series(1, 1000) AS n;
INSERT INTO jobs (id, tenant_id, customer_id, customer_name, quantity, legacy_field, note, price, due)
SELECT n, n % 10, n % 1000 + 1, 'Customer ' || (n % 1000 + 1), n % 7 + 1, 'old ' || n,
    rpad('note ' || n, 80, '.'), n % 50 + 0.5, date '2026-01-01' + (n % 300)
FROM generate_series(1, 2000) AS n;
INSERT INTO orders (id, customer_id, job_id, total)
SELECT n, n % 1000 + 1, n, n % 90 FROM generate_series(1, 2000) AS n;
INSERT INTO events SELECT n, date '2025-01-01' + n % 730, rpad('event ' || n, 80, '.')
FROM generate_series(1, 3000) AS n;
INSERT INTO events_2027 SELECT n, date '2027-01-01' + n % 300, rpad('event ' || n, 80, '.')
FROM generate_series(1, 1500) AS n;
INSERT INTO reports.daily SELECT date '2020-01-01' + n, n FROM generate_series(1, 3000) AS n;

CREATE VIEW open_jobs AS SELECT id, tenant_id, due FROM jobs WHERE due > '2026-06-01';
CREATE MATERIALIZED VIEW job_days WITH (autovacuum_enabled = false) AS
    SELECT id, due FROM jobs;
CREATE UNIQUE INDEX job_days_id ON job_days (id);

CREATE FUNCTION gross(net numeric) RETURNS numeric IMMUTABLE LANGUAGE sql
    RETURN net * 1.19;
CREATE FUNCTION fill_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.note := coalesce(NEW.note, 'none');
    RETURN NEW;
END $$;

GRANT USAGE ON SCHEMA public, reports TO erp;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public, reports TO erp;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO erp;
ANALYZE;
