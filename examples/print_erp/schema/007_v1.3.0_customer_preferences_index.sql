-- outside a transaction: the index is built while both versions write.
-- What an interrupted build left behind is invalid, and goes first.
DROP INDEX CONCURRENTLY IF EXISTS idx_customers_preferences;
CREATE INDEX CONCURRENTLY idx_customers_preferences ON customers USING gin (preferences);
