"""The same ERP as the proof's tests have."""

from tests.integration.migrations.proof.conftest import erp

__all__ = ["erp"]
