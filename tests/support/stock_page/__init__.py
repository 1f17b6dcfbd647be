"""A page as somebody new would add it: a package with three files, and a line in the list of packages."""
