"""One request carried out: its route, its life as a table, and the tunnel that it may become."""
