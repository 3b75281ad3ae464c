"""How fast closer is, beside its peers and the limits of the wire: `make bench`, or `python -m bench --help`."""
