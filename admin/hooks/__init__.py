"""What the user's platform does around a release: a webhook or a command before or after a state.

model     the settings of a hook, and what came of it; pure
run       does one hook
webhook   POST under an Idempotency-Key, shared with the steps of switches and drains
process   a command that ends, whatever it started; shared too
scrub     what is kept of output, without secrets; pure
"""
