"""Releases on simulated time: how often the monitor blames a healthy one, how soon it finds a faulty one."""
