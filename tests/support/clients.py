"""The four clients of a server, asked alike."""

import asyncio
from contextlib import ExitStack, contextmanager

from serving.client import ClientOptions, async_client, open_predictor

KINDS = ("grpc", "rest", "async grpc", "async rest")


class Awaited:
    """An asyncio client that is asked like the others.

    Args:
        loop: where it runs.
        client: the client.
    """

    def __init__(self, loop, client):
        self.loop, self.client = loop, client

    def __getattr__(self, name):
        return lambda *args: self.loop.run_until_complete(getattr(self.client, name)(*args))


@contextmanager
def opened_client(kind, grpc=None, rest=None, **options):
    """Opens a client of one of the four kinds.

    Args:
        kind: one of `KINDS`.
        grpc: "host:port"; needed for two of them.
        rest: base URL; needed for the other two.
        options: fields of ClientOptions.

    Yields:
        a client that is asked without `await`.
    """
    protocol = kind.split()[-1]
    address = {protocol: {"grpc": grpc, "rest": rest}[protocol]}
    chosen = ClientOptions(**options)
    with ExitStack() as stack:
        if kind == protocol:
            yield stack.enter_context(open_predictor(**address, options=chosen))
        else:
            loop = asyncio.new_event_loop()
            stack.callback(loop.close)
            client = Awaited(loop, async_client(**address, options=chosen))
            stack.callback(client.close)
            yield client
