"""The HTTP API. `route` says what a route is, `app` lists all of them; a file per resource.

What happens to a request, in order: host and origin (`guard`) → token and role (`auth`) → body
(`given`) → the resource's handler → `changing`, if it changes something → an answer or a problem.
"""
