"""The canary beyond one weight: by share of traffic, what-if, and the ramp that walks it."""
