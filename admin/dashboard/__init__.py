"""The release manager's dashboard under /ui: pages made here, alive by events, usable without scripts.

A page is read through the same handlers as the API's calls (`operations`), and changed through
them: what the API checks, counts and audits holds here without being written a second time.

    app.py         the table of pages; session, form and errors on the way to a view
    session.py     who looks: the one place where a log-in is plugged in
    operations.py  the API's calls, called from here
    deeds.py       a change asked for by a form: what it will do in numbers, the typed word, done once
    model/         PURE: what a page says, made from the API's documents
    views/         a file for each page: asks, hands its model to its template
    templates/     jinja2, escaped by themselves
    static/        own style and script; htmx and uPlot as they were published, with their licences

Rules: no script and no style stands in a page (the policy in `render` forbids it); every form
carries the session's token; what changes things asks first, in numbers.
"""
