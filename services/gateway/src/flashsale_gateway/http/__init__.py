"""HTTP: from bytes on a socket to a request that is checked, and from a result to an answer."""
