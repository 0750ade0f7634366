"""`python -m admin.cli`: the command line without the installed script."""

from admin.cli.main import main

main()
