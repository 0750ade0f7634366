-- A constant default: no rewrite of the table. 1.2.0 never names the column.
ALTER TABLE customers ADD COLUMN IF NOT EXISTS preferences JSONB DEFAULT '{}';
