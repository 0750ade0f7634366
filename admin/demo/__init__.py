"""The demo: everything on one machine, from nothing, with two versions of a real program.

Read in this order: `options` (what was asked for) → `plan` (folder and ports) → `files` (what is
written for people and scripts) → `parts` (one child process) → `run` (all of them: start, watch,
stop) → `tour` (what is printed). `load` is a process of its own: live traffic (`traffic`), its
figures (`figures`), what the admin says meanwhile (`watch`), and the board (`board`).

Rules: every part is a real server in a session of its own and dies with the demo, however the
demo ends. Waiting means asking whether a part is ready, and noticing when it ends instead.
Secrets lie in files for their owner only, never on a command line.
May import: `admin.cli`, `admin.embedded`, `admin.tokens`, `proxy.routing`, `config`.
"""
