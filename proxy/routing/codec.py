"""The written form of changes and tables: JSON, in Redis and in the API.

Rule: `SHAPES` is the only description of an operation's written form. The decoder, the encoder
and the API's schema all read it. Whatever comes from outside is checked here and in `values`, whole,
before anything is built from it; errors name the place.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from proxy.routing.change import (
    Change,
    ContractError,
    Cutover,
    EndAffinities,
    EndAffinitiesOf,
    EndDrain,
    Forget,
    Hold,
    Operation,
    Pin,
    Register,
    Release,
    Rollback,
    SetCanary,
    SetDrain,
    SetEndpoints,
    Unpin,
)
from proxy.routing.model import (
    ENDPOINT_PATTERN,
    NAME_PATTERN,
    TENANT_PATTERN,
    Canary,
    Drain,
    Endpoint,
    RoutingTable,
    Slot,
    Unit,
)
from proxy.routing.values import (
    MAX_ENDPOINTS,
    MAX_PER_SECOND,
    MAX_SALT,
    MAX_TENANTS,
    decode_endpoints,
    decode_flag,
    decode_list_of_tenants,
    decode_name,
    decode_pace,
    decode_percent,
    decode_salt,
    decode_slot,
    decode_tenant,
    decode_tenants,
    decode_unit,
    decode_version,
    percent,
    short,
)

SCHEMA = 1
"""Version of the written form. A reader refuses what it does not know."""
MAX_OPERATIONS = 20_000
MAX_DRAINS = 64


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


def _encode_endpoints(endpoints: Iterable[Endpoint]) -> list[str]:
    return [str(endpoint) for endpoint in endpoints]


_SLOTS: Mapping[str, object] = {"type": "string", "enum": [*Slot]}
_TENANT: Mapping[str, object] = {"type": "string", "pattern": f"^{TENANT_PATTERN}$"}
TENANT_FIELD = Field("tenant", "tenant", decode_tenant, str, _TENANT)
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
    *(
        Field(
            name,
            name,
            decode_list_of_tenants,
            sorted,
            {"type": "array", "maxItems": MAX_TENANTS, "uniqueItems": True, "items": _TENANT},
            optional=True,
        )
        for name in ("allow", "deny")
    ),
)
TENANTS_FIELD = Field(
    "tenants",
    "tenants",
    decode_tenants,
    sorted,
    {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_TENANTS,
        "uniqueItems": True,
        "items": _TENANT,
        "description": "left out: all",
    },
    optional=True,
)
_NAME: Mapping[str, object] = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
SWITCH_FIELD = Field("switch", "switch", decode_name, str, _NAME)
DRAIN_FIELD = Field("drain", "drain", decode_name, str, _NAME)
PACE_FIELD = Field(
    "per_second",
    "per_second",
    decode_pace,
    float,
    {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_PER_SECOND},
    optional=True,
)
TENANT_PACE_FIELD = Field(
    "tenant_per_second",
    "tenant_per_second",
    decode_pace,
    float,
    PACE_FIELD.schema,
    optional=True,
)
HURRY_FIELD = Field("hurry", "hurry", decode_flag, bool, {"type": "boolean"}, optional=True)
ENDPOINTS_FIELD = Field(
    "endpoints",
    "endpoints",
    decode_endpoints,
    _encode_endpoints,
    {
        "type": "array",
        "maxItems": MAX_ENDPOINTS,
        "uniqueItems": True,
        "items": {
            "type": "string",
            "maxLength": 320,
            "pattern": f"^{ENDPOINT_PATTERN}$",
            "examples": ["10.0.0.7:8000"],
        },
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
        "hold": Shape(Hold, (SWITCH_FIELD, TENANTS_FIELD)),
        "release": Shape(Release, (SWITCH_FIELD,)),
        "drain": Shape(
            SetDrain,
            (
                *(DRAIN_FIELD, SLOT_FIELD, PACE_FIELD, TENANTS_FIELD, HURRY_FIELD),
                TENANT_PACE_FIELD,
            ),
        ),
        "end-drain": Shape(EndDrain, (DRAIN_FIELD,)),
        "end-affinities": Shape(EndAffinities, (SLOT_FIELD,)),
        "end-affinities-of": Shape(EndAffinitiesOf, (TENANTS_FIELD,)),
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
        raise ContractError(f"{where}.op: one of {names}, not {short(name)}")
    fields = {key: item for key, item in value.items() if key != "op"}
    operation: Operation = decode_fields(SHAPES[name], fields, where)
    return operation


def decode_fields(shape: Shape, value: Mapping[str, object], where: str) -> Any:
    """The operation of this shape. Unknown and missing fields are errors, as are bad values."""
    unknown = value.keys() - {field.name for field in shape.fields}
    if unknown:
        raise ContractError(f"{where}: no field is called {short(min(unknown))}")
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
    return Change(decode_version(document["version"]), decoded)


def table_document(table: RoutingTable) -> dict[str, object]:
    """The table as JSON shows it, in the API too."""
    return {
        "version": table.version,
        "active": str(table.active),
        "fallback": str(table.fallback),
        "canary": canary_document(table.canary),
        "pins": {tenant: str(slot) for tenant, slot in table.pins.items()},
        "tenants": sorted(table.tenants),
        "endpoints": {str(slot): _encode_endpoints(table.endpoints[slot]) for slot in Slot},
        "holds": dict(table.holds),
        "hold_all": table.hold_all,
        "drains": drains_document(table),
        "affinities_since": {str(slot): table.affinities_since[slot] for slot in Slot},
        "tenant_affinities_since": dict(table.tenant_affinities_since),
    }


def canary_document(canary: Canary) -> dict[str, object]:
    """A canary as JSON shows it."""
    return {
        "percent": percent(canary.basis_points),
        "unit": str(canary.unit),
        "salt": canary.salt,
        "allow": sorted(canary.allow),
        "deny": sorted(canary.deny),
    }


def drains_document(table: RoutingTable) -> list[dict[str, object]]:
    """The table's drains as JSON shows them: the fields of the operation that makes each."""
    documents = []
    for name, drain in table.drains.items():
        # Left out where there is none: older workers don't know the field.
        of_one = drain.tenant_per_second or None
        operation = SetDrain(
            *(name, drain.slot, drain.per_second, drain.tenants, drain.hurry, of_one)
        )
        document = encode_operation(operation)
        del document["op"]
        documents.append(document)
    return documents


def encode_table(table: RoutingTable) -> bytes:
    """The table's written form."""
    return _dump({"schema": SCHEMA, **table_document(table)})


_TABLE = frozenset(
    {"schema", "version", "active", "fallback", "canary", "pins", "tenants", "endpoints"}
    | {"holds", "hold_all", "drains", "affinities_since", "tenant_affinities_since"}
)


def decode_table(body: bytes) -> RoutingTable:
    """The table from its written form, checked like everything that comes from outside."""
    document = _load(body, _TABLE)
    maps = ("holds", "endpoints", "affinities_since", "tenant_affinities_since")
    holds, endpoints, since, ended = (_object(document, name) for name in maps)
    if endpoints.keys() != set(Slot) or since.keys() != set(Slot):
        raise ContractError("table: endpoints and affinities_since have both slots")
    return RoutingTable(
        decode_version(document["version"]),
        decode_slot(document["active"]),
        decode_slot(document["fallback"]),
        decode_canary(_object(document, "canary")),
        _decode_pins(document),
        _decode_registered(document["tenants"]),
        MappingProxyType({slot: decode_endpoints(endpoints[slot]) for slot in Slot}),
        MappingProxyType({decode_tenant(key): decode_name(by) for key, by in holds.items()}),
        "" if document["hold_all"] == "" else decode_name(document["hold_all"]),
        MappingProxyType(decode_drains(document["drains"])),
        MappingProxyType({slot: decode_version(since[slot]) for slot in Slot}),
        MappingProxyType({decode_tenant(key): decode_version(at) for key, at in ended.items()}),
    )


def _decode_pins(document: dict[str, Any]) -> Mapping[str, Slot]:
    """The pins, which the document has no more.

    Parsing makes each tenant's id among objects that live no longer than the document: of 100 000
    pins they would leave holes of 10 MB between the ids. So those are made a second time, side by
    side, when the rest is gone.
    """
    tenants, slots = _listed(_object(document, "pins", gone=True))
    return MappingProxyType(dict(zip(tenants.split(), slots, strict=True)))


def _listed(pins: dict[str, object]) -> tuple[str, list[Slot]]:
    """The tenants' ids with spaces between them, and the slot of each."""
    return " ".join(map(decode_tenant, pins)), [decode_slot(slot) for slot in pins.values()]


def _object(document: dict[str, Any], name: str, *, gone: bool = False) -> dict[str, object]:
    """An object of the document; gone: which has it no more."""
    value = document.pop(name) if gone else document[name]
    if not isinstance(value, dict):
        raise ContractError(f"table: {name} is an object")
    return value


def decode_canary(value: Mapping[str, object]) -> Canary:
    """A canary as `canary_document` writes it, or ContractError."""
    if value.keys() != {field.name for field in CANARY_FIELDS}:
        raise ContractError("table: canary has percent, unit, salt, allow and deny")
    weight: SetCanary = decode_fields(SHAPES["canary"], value, "canary")
    given = (getattr(weight, field.attribute) for field in CANARY_FIELDS)
    return Canary(*given)


def _decode_registered(value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise ContractError("table: tenants are a list")
    tenants = frozenset(decode_tenant(tenant) for tenant in value)
    if len(tenants) != len(value):
        raise ContractError("table: a tenant is listed twice")
    return tenants


def decode_drains(value: object) -> dict[str, Drain]:
    """A table's drains by name, or ContractError."""
    if not isinstance(value, list) or len(value) > MAX_DRAINS:
        raise ContractError(f"table: drains are a list of at most {MAX_DRAINS}")
    drains: dict[str, Drain] = {}
    for item in value:
        if not isinstance(item, dict):
            raise ContractError("table: a drain is an object")
        given: SetDrain = decode_fields(SHAPES["drain"], item, "drain")
        if given.per_second is None or given.drain in drains:
            raise ContractError("table: a drain has a pace, and a name of its own")
        drains[given.drain] = Drain(
            *(given.slot, given.tenants, given.per_second, bool(given.hurry)),
            given.tenant_per_second or 0.0,
        )
    return drains


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _load(body: bytes, expected: AbstractSet[str]) -> dict[str, object]:
    try:
        document = json.loads(body, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"is not JSON: {short(str(error))}") from None
    if not isinstance(document, dict) or type(document.get("schema")) is not int:
        raise ContractError("is not an object with a schema")
    if document["schema"] != SCHEMA:
        raise ContractError(f"is not of schema {SCHEMA}")
    if document.keys() != expected:
        names = ", ".join(sorted(expected ^ document.keys()))
        raise ContractError(f"has missing or unknown fields: {short(names)}")
    return document


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ContractError("an object names a field twice")
    return document
