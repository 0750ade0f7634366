"""The switch: how soon, and what it costs those who are being served. Turnout beside its peers.

    __main__    argv → options → exit code
    run         composition root: who is here, rounds of turns, the outcome
    turn        one contender's turn: load, switches, a drain, what came of it
    contenders/ one file each: set up, started, and told to move tenants
    load        a process: requests at a set rate over kept connections; sockets: WebSockets
    endpoint    a process: both slots; says which of them answered
    history     PURE: what was asked when, and what became of it
    checker     PURE: history → failed, misrouted, how long until the new slot served
    figures     PURE: turns → quantiles, ratios, verdicts on the targets
    report      JSON, Markdown, terminal, SVG

Rules: who judges a contender knows nothing of it: requests carry a number and a tenant, the
endpoint answers with both and with its slot, and all times are of one clock (CLOCK_MONOTONIC,
which all processes of a machine share). No request is sent again, and no turn.
"""
