"""`python -m bench.table_cost FILE`: what a table costs a worker, as JSON on standard output.

It does what proxy.follow does with what it reads: check the signature, decode, apply. FILE holds
the table's written form. Runs in the tree of the variant measured, with a worker's settings of
the garbage collector.
"""

import gc
import json
import statistics
import sys
import time
from pathlib import Path

from proxy.routing.change import Change, Pin, apply
from proxy.routing.codec import decode_change, decode_table, encode_change
from proxy.routing.envelope import seal, verify
from proxy.routing.model import RoutingTable

KEY = b"a routing key of the benchmark"
LOADS, CHANGES = 3, 50


def main(path: Path) -> None:
    """Load some times, change many; the medians in milliseconds of CPU time.

    Nothing here waits, so it is how long a worker's loop stands still on a core of its own.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    body = path.read_bytes()
    code = seal("table", 1, body, KEY)
    loads, table = [], RoutingTable()
    for _ in range(LOADS):
        began = time.thread_time()
        verify("table", 1, body, code, KEY)
        table = decode_table(body)
        loads.append(time.thread_time() - began)
    tenants = list(table.pins)[: CHANGES * 10 : 10]
    changes = []
    for tenant in tenants:
        change = Change(table.version + 1, (Pin(tenant, table.pins[tenant].other),))
        entry = encode_change(change)
        code = seal("change", change.version, entry, KEY)
        began = time.thread_time()
        verify("change", change.version, entry, code, KEY)
        table = apply(table, decode_change(entry))
        changes.append(time.thread_time() - began)
    times = {"load_ms": loads, "change_ms": changes}
    json.dump({name: statistics.median(each) * 1e3 for name, each in times.items()}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
