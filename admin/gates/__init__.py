"""What is measured before a release may go on, and what of it is missing.

A gate measures one thing and gives a `Finding`. A checklist names gates and sign-offs; what of them a
release lacks is said by `admin.releases.go`. Rule: what was not measured passes nowhere.

    model, settle, compare, expect, words, pointer, signoff, checklist   pure
    health, warmup, smoke, schema, performance, lag, census, drill       a gate each
    run                                                                  all of them, bounded
    compose                                                              from the settings to gates
"""
