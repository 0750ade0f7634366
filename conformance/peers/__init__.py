"""The proxies: one file each, configured as a careful operator would."""
