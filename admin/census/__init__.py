"""Who was connected when a slot's drain began, who is back on the other slot, and who is missing."""
