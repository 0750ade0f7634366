"""Single values of the written form, from JSON: checked, or refused with a reason.

Rule: an error never repeats more than 80 characters of what it refuses.
"""

from collections.abc import Mapping

from proxy.routing.change import ContractError
from proxy.routing.model import Endpoint, Slot, Unit, is_name, is_tenant

MAX_ENDPOINTS = 256
MAX_SALT = 64
MAX_TENANTS = 20_000
"""In one list of tenants."""
MAX_PER_SECOND = 100_000
_SLOTS: Mapping[str, Slot] = {slot.value: slot for slot in Slot}


def decode_tenant(value: object) -> str:
    """A tenant's id, or ContractError."""
    if not isinstance(value, str) or not is_tenant(value):
        raise ContractError(f"a tenant id is 1 to 63 of a-z, 0-9 and -, not {short(value)}")
    return value


def decode_slot(value: object) -> Slot:
    """A slot by its name, or ContractError."""
    slot = _SLOTS.get(value) if isinstance(value, str) else None
    if slot is None:
        raise ContractError(f'a slot is "blue" or "green", not {short(value)}')
    return slot


def decode_percent(value: object) -> int:
    """0 to 100 in steps of 0.01 → basis points, or ContractError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"a percentage is a number, not {short(value)}")
    if not 0 <= value <= 100:
        raise ContractError(f"a percentage lies between 0 and 100, not {short(value)}")
    basis_points = round(value * 100)
    if abs(value * 100 - basis_points) > 1e-6:
        raise ContractError(f"a percentage moves in steps of 0.01, not {short(value)}")
    return basis_points


def percent(basis_points: int) -> float | int:
    """Basis points → percent, as people write it: 25, 0.5."""
    return basis_points // 100 if basis_points % 100 == 0 else basis_points / 100


def decode_unit(value: object) -> Unit:
    """A canary's unit by its name, or ContractError."""
    if not isinstance(value, str) or value not in tuple(Unit):
        names = ", ".join(Unit)
        raise ContractError(f"a canary's unit is one of {names}, not {short(value)}")
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
            raise ContractError(f"endpoint {short(text)}: {error}") from None
    if len(set(endpoints)) != len(endpoints):
        raise ContractError("an endpoint is listed twice")
    return tuple(endpoints)


def decode_tenants(value: object) -> frozenset[str]:
    """A list of tenants, none twice, or ContractError."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TENANTS:
        raise ContractError(f"tenants are a list of 1 to {MAX_TENANTS}")
    tenants = frozenset(decode_tenant(tenant) for tenant in value)
    if len(tenants) != len(value):
        raise ContractError("a tenant is listed twice")
    return tenants


def decode_list_of_tenants(value: object) -> frozenset[str]:
    """As `decode_tenants`, but there may be none."""
    return frozenset() if value == [] else decode_tenants(value)


def decode_name(value: object) -> str:
    """The name of a switch or a drain, or ContractError."""
    if not isinstance(value, str) or not is_name(value):
        raise ContractError(f"a name is 1 to 64 of a-z, 0-9 and -, not {short(value)}")
    return value


def decode_pace(value: object) -> float:
    """Connections per second, or ContractError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"a pace is a number, not {short(value)}")
    if not 0 < value <= MAX_PER_SECOND:
        raise ContractError(f"a pace lies above 0 and at most at {MAX_PER_SECOND}")
    return float(value)


def decode_flag(value: object) -> bool:
    """True or false, or ContractError."""
    if not isinstance(value, bool):
        raise ContractError(f"is true or false, not {short(value)}")
    return value


def decode_version(value: object) -> int:
    """A table's version, or ContractError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ContractError(f"a version is a whole number, not {short(value)}")
    return value


def short(value: object) -> str:
    """The value as an error may show it: bounded, control characters escaped."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
