"""The pages: each asks the API's handlers and hands what they say to its template."""
