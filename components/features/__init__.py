"""From encoded bytes to what the models see: names, decoding, DCT, the preprocessing function."""
