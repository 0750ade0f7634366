"""What tests of gates are about."""

from admin.gates.model import About
from proxy.routing.model import Slot

ABOUT = About("r-1", "1.3.0", "1.2.0", Slot.GREEN, Slot.BLUE, ("acme", "globex"))
