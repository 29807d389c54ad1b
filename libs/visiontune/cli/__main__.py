"""`python -m visiontune.cli`: the same as the command `visiontune`."""

from visiontune.cli import main

main()
