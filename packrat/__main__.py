"""`python -m packrat`."""

from packrat.cli import main

main()
