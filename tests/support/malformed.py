"""Requests that nobody should send: damaged images, protos that lie, JSON that is none, HTTP that is hardly any.

Everything is drawn from the `random.Random` that is handed in, so that the same seed makes the same requests. Much is
damage done to something valid, which reaches deeper than noise does; so a few of these requests are good after all.
"""

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from serving import contract
from tests.support.load import PREDICT, REST_PREDICT, encode_image, predict_message, textured_image

_SERVICE = "/tensorflow.serving."
_METHODS = (
    PREDICT,
    f"{_SERVICE}PredictionService/GetModelMetadata",
    f"{_SERVICE}PredictionService/Classify",
    f"{_SERVICE}PredictionService/Regress",
    f"{_SERVICE}PredictionService/MultiInference",
    f"{_SERVICE}ModelService/GetModelStatus",
    "/grpc.health.v1.Health/Check",
    f"{_SERVICE}PredictionService/NoSuchMethod",
    "/no.such.Service/Predict",
)
_SIZES = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 255, 256, 257, 65_536, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1)
_EDGES = (0, 1, 2, 127, 128, 255, 256, 10_000, 32_767, 65_535, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_MODEL = f"/v1/models/{contract.DEFAULT_MODEL_NAME}"


@dataclass(frozen=True)
class Malformed:
    """One request.

    Attributes:
        kind: what is wrong with it, for counting.
        way: "grpc", one message; "rest", one HTTP body; "tcp", all that is written to the REST port's socket; "tcp, cut
            off", the same, and then nothing more comes.
        content: the message, the body, or the bytes on the socket.
        target: the method or the path.
        heavy: it may rightly take a second, and some hundred megabytes.
    """

    kind: str
    way: str
    content: bytes
    target: str
    heavy: bool = False


class Images:
    """Damaged images.

    Args:
        draw: where chance comes from.
        size: height and width in pixels of the valid images that are damaged.
    """

    def __init__(self, draw: random.Random, size: int) -> None:
        self._draw = draw
        self.valid = [
            encode_image(textured_image(seed, size + 7 * seed, size), image_format, **options)
            for seed, (image_format, options) in enumerate(
                (
                    ("JPEG", {"quality": 90}),
                    ("JPEG", {"progressive": True, "subsampling": 2}),
                    ("PNG", {}),
                    ("GIF", {}),
                    ("BMP", {}),
                    ("WEBP", {}),
                    ("WEBP", {"lossless": True}),
                )
            )
        ]
        self._bombs = bombs()
        self._damages: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
            ("truncated", self._truncated),
            ("bits flipped", self._flipped),
            ("chunks spliced", self._spliced),
            ("header lies", self._lying),
            ("zeroed run", self._zeroed),
            ("bytes inserted", self._inserted),
            ("noise after magic", self._noise_after_magic),
        )

    def bad(self) -> tuple[str, bytes]:
        """Returns what was done, and the image."""
        chance = self._draw.random()
        if chance < 0.02:
            return "empty image", b""
        if chance < 0.06:
            return "noise image", self._draw.randbytes(self._draw.randrange(1, 600))
        if chance < 0.1:
            name = self._draw.choice(sorted(self._bombs))
            return f"bomb, {name}", self._bombs[name]
        name, damage = self._draw.choice(self._damages)
        return f"{name} image", damage(self._draw.choice(self.valid))

    def _truncated(self, image: bytes) -> bytes:
        return image[: self._draw.randrange(1, len(image))]

    def _flipped(self, image: bytes) -> bytes:
        damaged = bytearray(image)
        # Half of the time in the header, where one bit means most.
        end = self._draw.choice((len(image), min(len(image), 64)))
        for _ in range(self._draw.choice((1, 2, 8, 64))):
            damaged[self._draw.randrange(end)] ^= 1 << self._draw.randrange(8)
        return bytes(damaged)

    def _spliced(self, image: bytes) -> bytes:
        other = self._draw.choice(self.valid)
        cut, start = self._draw.randrange(len(image)), self._draw.randrange(len(other))
        return image[:cut] + other[start : start + self._draw.randrange(1, 4000)] + image[cut:]

    def _zeroed(self, image: bytes) -> bytes:
        start = self._draw.randrange(len(image))
        length = self._draw.randrange(1, 200)
        return image[:start] + bytes(length) + image[start + length :]

    def _inserted(self, image: bytes) -> bytes:
        where = self._draw.randrange(len(image))
        return image[:where] + self._draw.randbytes(self._draw.randrange(1, 40)) + image[where:]

    def _noise_after_magic(self, image: bytes) -> bytes:
        return image[: self._draw.choice((3, 8, 12, 16, 30))] + self._draw.randbytes(self._draw.randrange(400))

    def _lying(self, image: bytes) -> bytes:
        """Writes sizes and types into the header that the rest of the file does not bear out."""
        draw, damaged = self._draw, bytearray(image)
        width, height = draw.choice(_EDGES), draw.choice(_EDGES)
        if image.startswith(b"\x89PNG"):
            struct.pack_into(">II", damaged, 16, width, height)
            if draw.random() < 0.5:
                damaged[24:29] = bytes(draw.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)) for _ in range(5))
            if draw.random() < 0.8:  # a checksum that is right lets the decoder believe it
                struct.pack_into(">I", damaged, 29, zlib.crc32(damaged[12:29]))
        elif image.startswith(b"GIF"):
            struct.pack_into("<HH", damaged, draw.choice((6, 13)), width & 0xFFFF, height & 0xFFFF)
            damaged[10] = draw.randrange(256)
        elif image.startswith(b"BM"):
            struct.pack_into("<II", damaged, 18, width, height)
            struct.pack_into("<H", damaged, 28, draw.choice((0, 1, 8, 16, 24, 32, 33, 65_535)))
            struct.pack_into("<I", damaged, 10, draw.choice((0, 14, 54, 1000, 2**31, 2**32 - 1)))
        elif image.startswith(b"RIFF"):
            struct.pack_into("<I", damaged, draw.choice((4, 16)), draw.choice(_EDGES))
            struct.pack_into("<HH", damaged, 26, width & 0xFFFF, height & 0xFFFF)
        else:
            frame = max(image.find(b"\xff\xc0"), image.find(b"\xff\xc2"))
            struct.pack_into(">HH", damaged, frame + 5, height & 0xFFFF, width & 0xFFFF)
            if draw.random() < 0.5:
                damaged[frame + 4] = draw.choice((1, 8, 12, 255))
                damaged[frame + 9] = draw.choice((0, 1, 2, 4, 255))
        return bytes(damaged)


@lru_cache(maxsize=1)
def bombs() -> dict[str, bytes]:
    """Small files that ask for much memory; every one is valid but for its size."""
    import io

    from PIL import Image

    black = Image.new("L", (10_400, 10_400))
    stream = io.BytesIO()
    black.save(stream, "JPEG", quality=10)
    small = encode_image(textured_image(0, 40, 40), "PNG")
    inflated = zlib.compress(bytes(100_000_000), 9)
    return {
        "108 megapixel PNG": png(10_400, 10_400, zlib.compress(bytes(10_401 * 10_400), 9)),
        "108 megapixel JPEG": stream.getvalue(),
        "PNG of one row": png(108_000_000, 1, zlib.compress(bytes(108_000_001), 9)),
        "PNG of one column": png(1, 50_000_000, zlib.compress(bytes(100_000_000), 9)),
        "PNG with 100 MB of text": small[:33] + chunk(b"zTXt", b"Comment\0\0" + inflated) + small[33:],
        "PNG with 100 MB of profile": small[:33] + chunk(b"iCCP", b"icc\0\0" + inflated) + small[33:],
        "PNG with 100 MB too many": png(40, 40, inflated),
        "108 megapixel GIF": b"GIF89a" + struct.pack("<HH", 10_400, 10_400) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0"
        + struct.pack("<HH", 10_400, 10_400) + b"\0\x02\x02D\x01\0;",
        "108 megapixel BMP": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 10_400, 10_400, 1, 24, *[0] * 6),
        "108 megapixel WebP": b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
        + (10_399).to_bytes(3, "little") * 2,
    }  # fmt: skip


@lru_cache(maxsize=1)
def large_but_legal() -> bytes:
    """A PNG just under the limit on pixels."""
    return png(8_000, 8_000, zlib.compress(bytes(8_001 * 8_000), 9))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """Writes a grey PNG around compressed rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    """Writes one chunk of a PNG, with the right checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def image_requests(draw: random.Random, images: Images) -> Malformed:
    """A well-formed request for an image that is not."""
    if draw.random() < 0.0005:
        return _largest_legal()
    kind, image = images.bad()
    heavy = kind.startswith("bomb")
    batch = [image]
    if draw.random() < 0.15:
        batch = [draw.choice(images.valid) for _ in range(3)]
        batch.insert(draw.randrange(4), image)
    way = draw.random()
    if way < 0.6:
        signature = draw.choice((contract.SIGNATURE_DEFAULT,) * 5 + (contract.SIGNATURE_EXPLAIN,))
        return Malformed(f"{kind}, gRPC", "grpc", predict_message(batch, signature), PREDICT, heavy)
    if way < 0.8:
        rows = [{"b64": base64.b64encode(row).decode()} for row in batch]
        body = {"instances": [{"image_bytes": row} for row in rows]} if draw.random() < 0.5 else {"inputs": rows}
        return Malformed(f"{kind}, REST", "rest", json.dumps(body).encode(), REST_PREDICT, heavy)
    signature = draw.choice((contract.SIGNATURE_EXAMPLES, contract.SIGNATURE_TRANSFORM))
    message = _examples_message([_example(row) for row in batch], signature)
    return Malformed(f"{kind}, tf.Example", "grpc", message, PREDICT, heavy)


def example_requests(draw: random.Random, images: Images) -> Malformed:
    """A well-formed request for tf.Examples that are not."""
    good = _example(draw.choice(images.valid))
    kinds: dict[str, Callable[[], bytes]] = {
        "noise": lambda: draw.randbytes(draw.randrange(0, 200)),
        "cut off": lambda: good[: draw.randrange(len(good))],
        "bits flipped": lambda: _flip(draw, good, 64),
        "without the image": lambda: _example(good, name="other"),
        "image as text of a number": lambda: _example(b"17"),
        "two images": lambda: _example(images.valid[0], images.valid[2]),
        "image as integers": _integer_example,
    }
    kind = draw.choice(sorted(kinds))
    signature = draw.choice((contract.SIGNATURE_EXAMPLES, contract.SIGNATURE_TRANSFORM))
    return Malformed(f"tf.Example: {kind}", "grpc", _examples_message([kinds[kind]()], signature), PREDICT)


def proto_requests(draw: random.Random, images: Images) -> Malformed:
    """A PredictRequest that can be parsed, and means nothing."""
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest.FromString(predict_message([draw.choice(images.valid)]))
    tensor = request.inputs[contract.INPUT_IMAGE_BYTES]

    def wrong_type() -> None:
        tensor.dtype = draw.choice([*range(32), 101, 107, 120, 999])
        for name, value in (("float_val", 1.5), ("int_val", 7), ("half_val", 70_000), ("bool_val", True)):
            if draw.random() < 0.5:
                getattr(tensor, name).append(value)

    def shape_lies() -> None:
        del tensor.tensor_shape.dim[:]
        for _ in range(draw.choice((0, 1, 1, 1, 2, 3, 8, 300))):
            tensor.tensor_shape.dim.add(size=draw.choice(_SIZES))
        tensor.tensor_shape.unknown_rank = draw.random() < 0.2

    def tensor_content() -> None:
        tensor.tensor_content = draw.randbytes(draw.randrange(64))
        tensor.dtype = draw.choice((1, 3, 7, 7, 7, 20, 21))
        if draw.random() < 0.5:
            del tensor.string_val[:]

    def too_many_rows() -> None:
        count = draw.choice((contract.MAX_BATCH_ROWS + 1, 1_000, 20_000))
        tensor.tensor_shape.dim[0].size = count
        tensor.string_val.extend([b"x"] * (count - 1))

    def one_value_for_many_rows() -> None:
        tensor.tensor_shape.dim[0].size = draw.choice((2, 100, contract.MAX_BATCH_ROWS + 1, 2**40))

    def no_rows() -> None:
        tensor.tensor_shape.dim[0].size = 0
        del tensor.string_val[:]

    def inputs() -> None:
        if draw.random() < 0.5:
            del request.inputs[contract.INPUT_IMAGE_BYTES]
        for name in draw.sample(("", "examples", "image", "x" * 5000, "bild\u00e4\n"), draw.randrange(3)):
            request.inputs[name].CopyFrom(tensor if contract.INPUT_IMAGE_BYTES in request.inputs else type(tensor)())

    def signature() -> None:
        names = ("x", "__saved_model_init_op", "serving_default ", contract.SIGNATURE_EXAMPLES, "\u00fc" * 3000, "a\0b")
        request.model_spec.signature_name = draw.choice(names)

    def model() -> None:
        request.model_spec.name = draw.choice(("", "other", "../..", "m" * 100_000, "\u00fc\n\r", "%s%n"))

    def version() -> None:
        if draw.random() < 0.6:
            request.model_spec.version.value = draw.choice(_SIZES)
        else:
            request.model_spec.version_label = draw.choice(("stable", "", "x" * 9000, "\u2603"))

    def output_filter() -> None:
        names = ("x", "", "verdict", "verdict", "fake_probability:0", "y" * 50_000)
        request.output_filter.extend(draw.choice(names) for _ in range(draw.randrange(1, 4)))

    def exotic_values() -> None:
        tensor.resource_handle_val.add(device="d", name="n")
        tensor.variant_val.add(type_name="t")
        tensor.dtype = draw.choice((7, 20, 21))
        tensor.version_number = draw.choice((-1, 5))

    changes = (
        wrong_type, shape_lies, tensor_content, too_many_rows, one_value_for_many_rows, no_rows, inputs, signature,
        model, version, output_filter, exotic_values,
    )  # fmt: skip
    change = draw.choice(changes)
    change()
    return Malformed(f"proto: {change.__name__.replace('_', ' ')}", "grpc", request.SerializeToString(), PREDICT)


def message_requests(draw: random.Random, images: Images) -> Malformed:
    """Bytes that are hardly a message, to every method."""
    method = draw.choice(_METHODS)
    good = predict_message([draw.choice(images.valid)])
    kinds: dict[str, Callable[[], bytes]] = {
        "noise": lambda: draw.randbytes(draw.randrange(300)),
        "wrong wire types": lambda: b"\xff" * draw.randrange(1, 200),
        "cut off": lambda: good[: draw.randrange(len(good))],
        "bits flipped": lambda: _flip(draw, good, 40),
        "nested without end": lambda: _nested_message(draw.choice((50, 120, 3000))),
        "another message": lambda: good,
        "none": lambda: b"",
    }
    kind = draw.choice(sorted(kinds))
    return Malformed(f"message: {kind}", "grpc", kinds[kind](), method)


def json_requests(draw: random.Random, images: Images) -> Malformed:
    """An HTTP body that is no request."""
    encoded = base64.b64encode(draw.choice(images.valid)).decode()
    good = json.dumps({"signature_name": "serving_default", "instances": [{"image_bytes": {"b64": encoded}}]}).encode()
    values = (
        None, True, 0, -1, 1e308, 10**400, "", "text", [], {}, [[]], [[1], [2, 3]], [1, "a"], {"b64": 7}, {"b64": None},
        {"b64": "!!!"}, {"b64": encoded[:-3]}, {"b64": encoded, "x": 1}, [{"b64": encoded}, [{"b64": encoded}]],
        {"image_bytes": 1}, {"image_bytes": [encoded]}, {"other": {"b64": encoded}}, ["\ud800"], {"b64": "\u00fc"},
    )  # fmt: skip

    def place() -> bytes:
        value, key = draw.choice(values), draw.choice(("instances", "inputs", "signature_name", "x"))
        document = {
            key: draw.choice((value, [value], [value, value], [{"image_bytes": value}], {"image_bytes": value}))
        }
        if draw.random() < 0.3:
            document["signature_name"] = draw.choice(("x", 7, None, "explain", "serving_examples", ["a"]))
        return json.dumps(document).encode()

    def deep() -> bytes:
        opening, closing = draw.choice((("[", "]"), ('{"instances":', "}"), ('{"a":[', "]}")))
        depth = draw.choice((500, 10_000, 100_000))
        whole = opening * depth + "1" + closing * depth
        return (whole if draw.random() < 0.5 else f'{{"instances": {whole}}}').encode()

    def replaced(old: bytes, new: bytes) -> bytes:
        return good.replace(old, new, 1)

    kinds: dict[str, Callable[[], bytes]] = {
        "cut off": lambda: good[: draw.randrange(len(good))],
        "bits flipped": lambda: _flip(draw, good, 20),
        "bits flipped in its frame": lambda: _flip(draw, good[:80], 4) + good[80:],
        "wrong values": place,
        "10,000 deep": deep,
        "huge number": lambda: b'{"instances": [' + b"9" * draw.choice((400, 5_000, 100_000)) + b"]}",
        "huge exponent": lambda: b'{"instances": [1e' + b"9" * draw.choice((3, 400)) + b"]}",
        "no UTF-8": lambda: replaced(b"serving_default", bytes([0xFF, 0xC0, 0x80])),
        "UTF-16": lambda: good.decode().encode("utf-16"),
        "byte order mark": lambda: b"\xef\xbb\xbf" + good,
        "NaN": lambda: b'{"instances": [NaN, Infinity]}',
        "b64 damaged": lambda: replaced(encoded[:40].encode(), draw.choice((b"@" * 40, b"=" * 40, b"\\u0000"))),
        "key twice": lambda: b'{"instances": [1], "inputs": [1], "instances": [2]}',
        "too many rows": lambda: json.dumps({"instances": ["x"] * draw.choice((257, 5_000))}).encode(),
        "a million empty lists": lambda: b'{"instances": [' + b"[]," * draw.choice((1_000, 200_000)) + b"[]]}",
        "nothing": lambda: b"",
        "noise": lambda: draw.randbytes(draw.randrange(400)),
    }
    kind = draw.choice(sorted(kinds))
    return Malformed(f"JSON: {kind}", "rest", kinds[kind](), REST_PREDICT)


def http_requests(draw: random.Random, images: Images) -> Malformed:
    """What is written to the REST port is hardly HTTP, or asks for what is not there."""
    body = json.dumps({"instances": [{"b64": base64.b64encode(draw.choice(images.valid)).decode()}]}).encode()
    length = f"Content-Length: {len(body)}\r\n".encode()

    def request(line: str = f"POST {REST_PREDICT} HTTP/1.1", headers: bytes = length, content: bytes = body) -> bytes:
        return line.encode() + b"\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n" + content

    paths = (
        "/", "/v1", "/v1/", "//v1//models", "/v2/models/x", f"{_MODEL}:explain", f"{_MODEL}:", f"{_MODEL}:predict/x",
        f"{_MODEL}/versions/", f"{_MODEL}/versions/-1", f"{_MODEL}/versions/99999999999999999999:predict",
        f"{_MODEL}/versions/{'9' * 5000}", f"{_MODEL}/versions/77:predict", f"{_MODEL}/labels/none:predict",
        f"{_MODEL}/labels/{'l' * 3000}", "/v1/models/other:predict", "/v1/models/%00%ff%0d%0a:predict", "/../../etc",
        f"{_MODEL}/versions/1/labels/x:predict", f"{_MODEL}/metadata/x", f"/v1/models/{'m' * 7000}", "*",
        f"{_MODEL}/versions/\u0663", "/v1/models/..%2f..%2f", f"{_MODEL}:classify", f"{_MODEL}:regress", "?", "x",
    )  # fmt: skip
    methods = (
        "GET",
        "POST",
        "PUT",
        "DELETE",
        "HEAD",
        "OPTIONS",
        "PATCH",
        "TRACE",
        "CONNECT",
        "X" * 300,
        "g\u00e9t",
        "",
    )
    chunked = b"Transfer-Encoding: chunked\r\n"
    kinds: dict[str, Callable[[], bytes]] = {
        "path": lambda: request(f"{draw.choice(('GET', 'POST'))} {draw.choice(paths)} HTTP/1.1"),
        "method": lambda: request(f"{draw.choice(methods)} {draw.choice((_MODEL, REST_PREDICT))} HTTP/1.1"),
        "HTTP version": lambda: request(f"POST {REST_PREDICT} {draw.choice(('HTTP/0.9', 'HTTP/3.7', 'HTP', ''))}"),
        "length too large": lambda: request(headers=f"Content-Length: {len(body) + 50}\r\n".encode()),
        "length too small": lambda: request(headers=b"Content-Length: 20\r\n"),
        "length is none": lambda: request(headers=draw.choice((b"Content-Length: -5\r\n", b"Content-Length: 1e3\r\n"))),
        "length above the limit": lambda: request(headers=b"Content-Length: 99999999999\r\n"),
        "two lengths": lambda: request(headers=length + b"Content-Length: 3\r\n"),
        "chunks cut off": lambda: request(headers=chunked, content=b"%x\r\n" % len(body) + body[: len(body) // 2]),
        "chunk size is none": lambda: request(headers=chunked, content=b"zz\r\n" + body + b"\r\n0\r\n\r\n"),
        "chunk size is huge": lambda: request(headers=chunked, content=b"ffffffffffffffff\r\n" + body),
        "gzip that is none": lambda: request(headers=length + b"Content-Encoding: gzip\r\n"),
        "gzip bomb": lambda: _gzipped(request),
        "header without end": lambda: request(headers=b"X: " + b"a" * draw.choice((9_000, 100_000)) + b"\r\n" + length),
        "many headers": lambda: request(headers=b"".join(b"X-%d: y\r\n" % n for n in range(2_000)) + length),
        "header noise": lambda: request(headers=draw.randbytes(60).replace(b"\n", b" ") + b"\r\n" + length),
        "content type": lambda: request(headers=length + b"Content-Type: multipart/form-data; boundary=\xff\r\n"),
        "expectation": lambda: request(headers=length + b"Expect: 200-maybe\r\n"),
        "upgrade": lambda: request(headers=length + b"Upgrade: websocket\r\nSec-WebSocket-Version: 99\r\n"),
        "headers cut off": lambda: request()[: draw.randrange(1, 90)],
        "noise": lambda: draw.randbytes(draw.randrange(1, 400)),
        "TLS greeting": lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(300),
        "HTTP/2 greeting": lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    }
    # A server waits for the rest of these, so the connection is ended at the client's side.
    unfinished = {
        "HTTP version", "length too large", "length above the limit", "chunks cut off", "chunk size is huge",
        "headers cut off", "noise", "TLS greeting", "HTTP/2 greeting",
    }  # fmt: skip
    kind = draw.choice(sorted(kinds))
    return Malformed(f"HTTP: {kind}", "tcp, cut off" if kind in unfinished else "tcp", kinds[kind](), "")


# Of each hundred requests: what kind, and how many.
_MIXTURE = (
    (image_requests, 50),
    (example_requests, 5),
    (proto_requests, 18),
    (message_requests, 7),
    (json_requests, 13),
    (http_requests, 7),
)


# Which requests are legal, and as large as can be.
LEGAL_AT = (300, 900, 1_500)


def malformed_requests(seed: int, count: int, size: int) -> list[Malformed]:
    """Draws requests of all kinds, in mixed order.

    Args:
        seed: of chance.
        count: how many.
        size: height and width in pixels that the model wants at least.
    """
    draw = random.Random(seed)
    images = Images(draw, size)
    makers, weights = zip(*_MIXTURE, strict=True)
    requests = [maker(draw, images) for maker in draw.choices(makers, weights, k=count)]
    # Early ones for certain: where the heap was once at its largest, much of it stays with the process.
    for number in LEGAL_AT:
        requests[number : number + 1] = [_largest_legal()] * (number < count)
    return requests


def _largest_legal() -> Malformed:
    return Malformed("64 megapixels, legal", "grpc", predict_message([large_but_legal()]), PREDICT, heavy=True)


def _example(*images: bytes, name: str = contract.INPUT_IMAGE_BYTES) -> bytes:
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    example.features.feature[name].bytes_list.value.extend(images)
    return example.SerializeToString()


def _integer_example() -> bytes:
    from tensorflow.core.example import example_pb2

    example = example_pb2.Example()
    example.features.feature[contract.INPUT_IMAGE_BYTES].int64_list.value.extend([137, 80, 78, 71])
    return example.SerializeToString()


def _examples_message(examples: list[bytes], signature: str) -> bytes:
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest.FromString(predict_message(examples, signature))
    request.inputs[contract.INPUT_EXAMPLES].CopyFrom(request.inputs.pop(contract.INPUT_IMAGE_BYTES))
    return request.SerializeToString()


def _flip(draw: random.Random, content: bytes, most: int) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.randrange(1, most + 1)):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def _nested_message(depth: int) -> bytes:
    """Field 1 in field 1 in field 1 ..., each length right."""
    content = b""
    for _ in range(depth):
        length, size = b"", len(content)
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        content = b"\x0a" + length + bytes([size]) + content
    return content


def _gzipped(request: Callable[..., bytes]) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = compressor.compress(bytes(100_000_000)) + compressor.flush()
    headers = f"Content-Length: {len(content)}\r\nContent-Encoding: gzip\r\n".encode()
    return request(headers=headers, content=content)
