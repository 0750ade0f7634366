"""The process that owns the sockets: starts, watches, reloads, drains and replaces the workers."""
