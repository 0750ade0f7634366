"""The data plane: sends each request to blue or green.

`routing` is the contract with the control plane, `http1` the grammar, `downstream` the client's
side, `upstream` the slots' side. May import: `config`; never `admin`, never a database.
"""
