"""The written form of changes and tables: JSON, in Redis and in the API.

Rule: `SHAPES` is the only description of an operation's written form. The decoder, the encoder
and the API's schema all read it. Whatever comes from outside is checked here, whole, before
anything is built from it; errors name the place and never repeat more than 80 characters.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from proxy.routing.change import (
    Change,
    ContractError,
    Cutover,
    Forget,
    Operation,
    Pin,
    Register,
    Rollback,
    SetCanary,
    SetEndpoints,
    Unpin,
)
from proxy.routing.model import (
    TENANT_PATTERN,
    Canary,
    Endpoint,
    RoutingTable,
    Slot,
    Unit,
    is_tenant,
)

SCHEMA = 1
"""Version of the written form. A reader refuses what it does not know."""
MAX_OPERATIONS = 20_000
MAX_ENDPOINTS = 256
MAX_SALT = 64
_SLOTS_BY_NAME: Mapping[str, Slot] = {slot.value: slot for slot in Slot}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an operation: its name in JSON, both directions, and its JSON Schema.

    attribute: the name on the dataclass. optional: may be left out, and is None then.
    """

    name: str
    attribute: str
    decode: Callable[[object], Any]
    encode: Callable[[Any], object]
    schema: Mapping[str, object]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The written form of one operation: `{"op": name, field…}`."""

    of: type[Any]
    fields: tuple[Field, ...]


def decode_tenant(value: object) -> str:
    """A tenant's id, or ContractError."""
    if not isinstance(value, str) or not is_tenant(value):
        raise ContractError(f"a tenant id is 1 to 63 of a-z, 0-9 and -, not {_short(value)}")
    return value


def decode_slot(value: object) -> Slot:
    """A slot by its name, or ContractError."""
    slot = _SLOTS_BY_NAME.get(value) if isinstance(value, str) else None
    if slot is None:
        raise ContractError(f'a slot is "blue" or "green", not {_short(value)}')
    return slot


def decode_percent(value: object) -> int:
    """0 to 100 in steps of 0.01 → basis points, or ContractError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"a percentage is a number, not {_short(value)}")
    if not 0 <= value <= 100:
        raise ContractError(f"a percentage lies between 0 and 100, not {_short(value)}")
    basis_points = round(value * 100)
    if abs(value * 100 - basis_points) > 1e-6:
        raise ContractError(f"a percentage moves in steps of 0.01, not {_short(value)}")
    return basis_points


def percent(basis_points: int) -> float | int:
    """Basis points → percent, as people write it: 25, 0.5."""
    return basis_points // 100 if basis_points % 100 == 0 else basis_points / 100


def decode_unit(value: object) -> Unit:
    """A canary's unit by its name, or ContractError."""
    if not isinstance(value, str) or value not in tuple(Unit):
        names = ", ".join(Unit)
        raise ContractError(f"a canary's unit is one of {names}, not {_short(value)}")
    return Unit(value)


def decode_salt(value: object) -> str:
    """A canary's salt, or ContractError."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SALT or not value.isprintable():
        raise ContractError(f"a salt is 1 to {MAX_SALT} printable characters")
    return value


def decode_endpoints(value: object) -> tuple[Endpoint, ...]:
    """A list of host:port, none twice, or ContractError."""
    if not isinstance(value, list) or len(value) > MAX_ENDPOINTS:
        raise ContractError(f"endpoints are a list of at most {MAX_ENDPOINTS}")
    endpoints = []
    for text in value:
        try:
            endpoints.append(Endpoint.parse(text if isinstance(text, str) else ""))
        except ValueError as error:
            raise ContractError(f"endpoint {_short(text)}: {error}") from None
    if len(set(endpoints)) != len(endpoints):
        raise ContractError("an endpoint is listed twice")
    return tuple(endpoints)


def _encode_endpoints(endpoints: Iterable[Endpoint]) -> list[str]:
    return [str(endpoint) for endpoint in endpoints]


_SLOTS: Mapping[str, object] = {"type": "string", "enum": [*Slot]}
TENANT_FIELD = Field(
    "tenant", "tenant", decode_tenant, str, {"type": "string", "pattern": f"^{TENANT_PATTERN}$"}
)
SLOT_FIELD = Field("slot", "slot", decode_slot, str, _SLOTS)
CANARY_FIELDS = (
    Field(
        "percent",
        "basis_points",
        decode_percent,
        percent,
        {"type": "number", "minimum": 0, "maximum": 100, "description": "in steps of 0.01"},
    ),
    Field("unit", "unit", decode_unit, str, {"type": "string", "enum": [*Unit]}, optional=True),
    Field(
        "salt",
        "salt",
        decode_salt,
        str,
        {"type": "string", "minLength": 1, "maxLength": MAX_SALT},
        optional=True,
    ),
)
ENDPOINTS_FIELD = Field(
    "endpoints",
    "endpoints",
    decode_endpoints,
    _encode_endpoints,
    {
        "type": "array",
        "maxItems": MAX_ENDPOINTS,
        "uniqueItems": True,
        "items": {"type": "string", "examples": ["10.0.0.7:8000"]},
    },
)

SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "pin": Shape(Pin, (TENANT_FIELD, SLOT_FIELD)),
        "unpin": Shape(Unpin, (TENANT_FIELD,)),
        "canary": Shape(SetCanary, CANARY_FIELDS),
        "cutover": Shape(Cutover, (Field("to", "to", decode_slot, str, _SLOTS),)),
        "rollback": Shape(Rollback, ()),
        "endpoints": Shape(SetEndpoints, (SLOT_FIELD, ENDPOINTS_FIELD)),
        "register": Shape(Register, (TENANT_FIELD,)),
        "forget": Shape(Forget, (TENANT_FIELD,)),
    }
)
_NAMES: Mapping[type[Any], str] = {shape.of: name for name, shape in SHAPES.items()}


def decode_operations(value: object) -> tuple[Operation, ...]:
    """A list of operations as parsed from JSON. ContractError names the first bad one."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_OPERATIONS:
        raise ContractError(f"operations are a list of 1 to {MAX_OPERATIONS}")
    return tuple(_decode_operation(item, index) for index, item in enumerate(value))


def _decode_operation(value: object, index: int) -> Operation:
    where = f"operations[{index}]"
    if not isinstance(value, dict):
        raise ContractError(f"{where}: an operation is an object")
    name = value.get("op")
    if not isinstance(name, str) or name not in SHAPES:
        names = ", ".join(SHAPES)
        raise ContractError(f"{where}.op: one of {names}, not {_short(name)}")
    fields = {key: item for key, item in value.items() if key != "op"}
    operation: Operation = decode_fields(SHAPES[name], fields, where)
    return operation


def decode_fields(shape: Shape, value: Mapping[str, object], where: str) -> Any:
    """The operation of this shape. Unknown and missing fields are errors, as are bad values."""
    unknown = value.keys() - {field.name for field in shape.fields}
    if unknown:
        raise ContractError(f"{where}: no field is called {_short(min(unknown))}")
    arguments = {}
    for field in shape.fields:
        if field.name not in value:
            if not field.optional:
                raise ContractError(f"{where}.{field.name}: is missing")
            continue
        try:
            arguments[field.attribute] = field.decode(value[field.name])
        except ContractError as error:
            raise ContractError(f"{where}.{field.name}: {error}") from None
    return shape.of(**arguments)


def encode_operation(operation: Operation) -> dict[str, object]:
    """The operation's written form, ready for JSON."""
    name = _NAMES[type(operation)]
    written: dict[str, object] = {"op": name}
    for field in SHAPES[name].fields:
        value = getattr(operation, field.attribute)
        if value is not None:
            written[field.name] = field.encode(value)
    return written


def encode_change(change: Change) -> bytes:
    """A log entry's body."""
    operations = [encode_operation(operation) for operation in change.operations]
    return _dump({"schema": SCHEMA, "version": change.version, "operations": operations})


def decode_change(body: bytes) -> Change:
    """A log entry's body → the change. An empty list marks a table published anew."""
    document = _load(body, {"schema", "version", "operations"})
    operations = document["operations"]
    decoded = () if operations == [] else decode_operations(operations)
    return Change(_version(document["version"]), decoded)


def table_document(table: RoutingTable) -> dict[str, object]:
    """The table as JSON shows it, in the API too."""
    return {
        "version": table.version,
        "active": str(table.active),
        "fallback": str(table.fallback),
        "canary": {
            "percent": percent(table.canary.basis_points),
            "unit": str(table.canary.unit),
            "salt": table.canary.salt,
        },
        "pins": {tenant: str(slot) for tenant, slot in table.pins.items()},
        "tenants": sorted(table.tenants),
        "endpoints": {str(slot): _encode_endpoints(table.endpoints[slot]) for slot in Slot},
    }


def encode_table(table: RoutingTable) -> bytes:
    """The table's written form."""
    return _dump({"schema": SCHEMA, **table_document(table)})


def decode_table(body: bytes) -> RoutingTable:
    """The table from its written form, checked like everything that comes from outside."""
    document = _load(
        body,
        {"schema", "version", "active", "fallback", "canary", "pins", "tenants", "endpoints"},
    )
    canary, endpoints, tenants = document["canary"], document["endpoints"], document["tenants"]
    if not (
        isinstance(canary, dict)
        and isinstance(document["pins"], dict)
        and isinstance(tenants, list)
    ):
        raise ContractError("table: canary and pins are objects, tenants a list")
    if not isinstance(endpoints, dict) or endpoints.keys() != set(Slot):
        raise ContractError("table: endpoints have both slots")
    if len(set(map(str, tenants))) != len(tenants):
        raise ContractError("table: a tenant is listed twice")
    weight = decode_fields(SHAPES["canary"], canary, "canary")
    if weight.unit is None or weight.salt is None:
        raise ContractError("table: canary has unit and salt")
    return RoutingTable(
        _version(document["version"]),
        decode_slot(document["active"]),
        decode_slot(document["fallback"]),
        Canary(weight.basis_points, weight.unit, weight.salt),
        _decode_pins(document),
        frozenset(decode_tenant(tenant) for tenant in tenants),
        MappingProxyType({Slot(slot): decode_endpoints(endpoints[slot]) for slot in Slot}),
    )


def _decode_pins(document: dict[str, Any]) -> Mapping[str, Slot]:
    """The pins, which the document has no more.

    Parsing makes each tenant's id among objects that live no longer than the document: of 100 000
    pins they would leave holes of 10 MB between the ids. So those are made a second time, side by
    side, when the rest is gone.
    """
    tenants, slots = _listed(document.pop("pins"))
    return MappingProxyType(dict(zip(tenants.split(), slots, strict=True)))


def _listed(pins: dict[str, object]) -> tuple[str, list[Slot]]:
    """The tenants' ids with spaces between them, and the slot of each."""
    return " ".join(map(decode_tenant, pins)), [decode_slot(slot) for slot in pins.values()]


def _version(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ContractError(f"a version is a whole number, not {_short(value)}")
    return value


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _load(body: bytes, expected: set[str]) -> dict[str, object]:
    try:
        document = json.loads(body, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"is not JSON: {_short(str(error))}") from None
    if not isinstance(document, dict) or type(document.get("schema")) is not int:
        raise ContractError("is not an object with a schema")
    if document["schema"] != SCHEMA:
        raise ContractError(f"is not of schema {SCHEMA}")
    if document.keys() != expected:
        names = ", ".join(sorted(expected ^ document.keys()))
        raise ContractError(f"has missing or unknown fields: {_short(names)}")
    return document


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ContractError("an object names a field twice")
    return document


def _short(value: object) -> str:
    """The value as an error may show it: bounded, control characters escaped."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
