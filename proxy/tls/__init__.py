"""TLS on both sides: certificates by name, what a client's certificate says, endpoints' TLS."""
