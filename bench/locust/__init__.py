"""Scenarios for load testers who know locust. See README.md beside this file."""
