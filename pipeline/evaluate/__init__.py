"""`genattr evaluate`: a servable measured on a prepared dataset."""
