"""What migrations there are: a folder of SQL files, read by PostgreSQL's own grammar."""
