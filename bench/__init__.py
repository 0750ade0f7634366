"""Turnout beside its peers: CPU time per request, in paired rounds.

    __main__    argv → options → exit code
    run         composition root: machine, endpoint, peers, rounds, outcome
    scenarios/  what is asked of a proxy: one file each
    peers/      one file each: write its configuration, start it, list its pids
    endpoint    the nginx behind the proxies
    checks      the same work for all, asked of each proxy before anything is measured
    rounds      A B A B…: load, CPU time, requests → samples and ratios
    cpu         CPU time of a tree of processes
    wrk         the load generator: its script, and what it prints
    stats       median and quartiles
    report      JSON, Markdown, terminal; plot: SVG
    profile     where one proxy's CPU time goes

Rule: a figure that counts is a ratio of two samples of one round. Nothing is measured twice and
picked from: an invalid round is reported, left out of the median, and makes the run fail.
"""
