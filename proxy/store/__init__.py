"""Redis, as far as the data plane needs it: its address, and one command after the other (RESP2)."""
