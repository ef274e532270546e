"""From encoded bytes to what the models see: decoding, DCT, the preprocessing function."""
