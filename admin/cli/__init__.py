"""The command line: `turnout …`.

`main` lists the commands, each group of them lies in a file of its own, `client` speaks HTTP with
the admin, `failures` says in words what went wrong and what to do, `output` draws what people
read. Rules: stdout carries the answer and nothing else, messages go to stderr; what is not needed
to print `--help` is imported by the command that needs it.
May import: the standard library, click, rich, `proxy.routing`, `config`.
"""
