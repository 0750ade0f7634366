"""The target's side: sessions with time-outs, its own version table and fence, what is mended."""
