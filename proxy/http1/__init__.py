"""HTTP/1.1 as grammar: heads, fields, framing, chunks, local replies. No I/O."""
