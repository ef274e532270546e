"""Everything on the wire: contract, server, client."""
