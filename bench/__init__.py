"""Turnout beside its peers, in paired rounds: CPU time per request, memory, time to start.

    __main__    argv → options → exit code
    run         composition root: who is here, the scenarios one after the other, the outcome
    catalogue   all peers and scenarios, by name
    scenarios/  one file each: what is asked, of whom, and the figures that come of it
    load        scenarios that put wrk on each proxy in turn, and take its CPU time
    peers/      one file each: write its configuration, say how it is started
    serving     a peer, started and answering
    checks      the same work for all, asked of each proxy before anything is measured
    rounds      A B C A B C…: one reading of each proxy a round
    figures     rounds → figures, ratios and verdicts on the targets
    report      JSON, Markdown, terminal; plot: SVG
    profile     where one proxy's CPU time goes

    endpoint    the nginx behind the proxies; websockets: the endpoint and clients of idle pairs
    cpu, memory what a tree of processes used
    trees       copies of the sources, plain and compiled; wheels: peers that come as wheels
    table_cost  what a big table costs a worker, run in a tree

Rule: a figure that is compared is a ratio of two readings of one round. Nothing is measured twice
and picked from: an invalid round is reported, left out of the median, and makes the run fail.
"""
