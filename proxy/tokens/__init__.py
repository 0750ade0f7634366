"""Bearer tokens: their form, the issuers' keys, and the tenant that a verified one names."""
