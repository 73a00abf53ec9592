"""`python -m treequeues` is the command `treequeues`."""

from treequeues._command import main

main()
