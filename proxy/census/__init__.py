"""Who is connected for long at this worker, by the name of the device, told to the store."""
