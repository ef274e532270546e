"""TFX component: TFX's Pusher, made atomic."""

from tfx.components import Pusher
from tfx.dsl.components.base import executor_spec
from tfx.proto import pusher_pb2
from tfx.types import channel

from components.digest import source_digest
from components.pusher import executor


class AtomicPusher(Pusher):
    """Pushes a validated servable to `<base directory>/<version>`, whole or not at all.

    Component inputs:  model (Model), infra_blessing (InfraBlessing)
    Component outputs: pushed_model (PushedModel)
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.AtomicPusherExecutor)

    def __init__(self, model: channel.BaseChannel, infra_blessing: channel.BaseChannel, base_directory: str) -> None:
        super().__init__(
            model=model,
            infra_blessing=infra_blessing,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=base_directory)
            ),
            custom_config={"source_digest": source_digest(executor.__name__)},
        )
