"""Lossless JPEG (SOF3), which Pillow reads and TensorFlow does not. Source: ITU-T T.81, annex H."""

import struct

import numpy as np


def lossless_jpeg(pixels: np.ndarray) -> bytes:
    """Encode a uint8 array of shape (height, width, 1 or 3): predictor 1 (left), one Huffman table."""
    height, width, channels = pixels.shape
    lengths = [0] * 16
    lengths[3], lengths[4] = 14, 2  # 14 codes of 4 bits, 2 of 5 bits: categories 0..15
    codes, code = {}, 0
    symbol = 0
    for bits, count in enumerate(lengths, start=1):
        for _ in range(count):
            codes[symbol] = (code, bits)
            code += 1
            symbol += 1
        code <<= 1
    out = bytearray()
    buffer = used = 0

    def put(value: int, bits: int) -> None:
        nonlocal buffer, used
        buffer = buffer << bits | value
        used += bits
        while used >= 8:
            byte = buffer >> used - 8 & 0xFF
            out.append(byte)
            if byte == 0xFF:
                out.append(0)
            used -= 8
            buffer &= (1 << used) - 1

    samples = pixels.astype(int)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                above = samples[y - 1, x, c] if y else 128
                predicted = samples[y, x - 1, c] if x else above
                difference = int(samples[y, x, c] - predicted)
                category = abs(difference).bit_length()
                put(*codes[category])
                if category:
                    put(difference if difference > 0 else difference + (1 << category) - 1, category)
    if used:
        put((1 << 8 - used) - 1, 8 - used)

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    ids = b"RGB" if channels == 3 else b"\1"
    frame = struct.pack(">BHHB", 8, height, width, channels) + b"".join(bytes([i, 0x11, 0]) for i in ids)
    scan = bytes([channels]) + b"".join(bytes([i, 0]) for i in ids) + bytes([1, 0, 0])
    table = bytes([0]) + bytes(lengths) + bytes(range(16))
    return b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table) + segment(0xDA, scan) + bytes(out) + b"\xff\xd9"
