"""What pages say, made from the API's documents. Pure: no server, no loop, no settings."""
