"""HTTP/1.1 as grammar: heads, framing, fields, local replies.

No I/O; `parser` alone imports httptools.
"""
