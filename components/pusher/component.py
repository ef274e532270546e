"""TFX component: TFX's Pusher, made atomic."""

from tfx.components import Pusher
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import channel, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.digest import source_digest
from components.pusher import executor
from components.pusher.parameters import LicenceParameters


class AtomicPusherSpec(standard_component_specs.PusherSpec):
    """TFX's, and what is pushed beside the servable."""

    INPUTS = {
        **standard_component_specs.PusherSpec.INPUTS,
        executor.REFERENCE_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics, optional=True
        ),
    }


class AtomicPusher(Pusher):
    """Pushes a validated servable to `<base directory>/<version>`, whole or not at all.

    `recipe` and `licences` become part of the statement that is pushed with it, see `components.pusher.statement`.

    Component inputs:  model (Model), infra_blessing (InfraBlessing), reference (ExampleStatistics of one split, which
                       `genattr monitor` compares traffic with)
    Component outputs: pushed_model (PushedModel)
    """

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.AtomicPusherExecutor)

    def __init__(
        self,
        model: channel.BaseChannel,
        infra_blessing: channel.BaseChannel,
        reference: channel.BaseChannel | None,
        base_directory: str,
        recipe: str | None = None,
        licences: LicenceParameters | None = None,
    ) -> None:
        spec = AtomicPusherSpec(
            model=model,
            infra_blessing=infra_blessing,
            reference=reference,
            push_destination=pusher_pb2.PushDestination(
                filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=base_directory)
            ),
            custom_config=json_utils.dumps(
                {
                    "source_digest": source_digest(executor.__name__),
                    "recipe": recipe,
                    "licences": (licences or LicenceParameters()).model_dump(),
                }
            ),
            pushed_model=channel.Channel(type=standard_artifacts.PushedModel),
        )
        # Not TFX's own constructor, which makes a spec that takes no more inputs than TFX's.
        base_component.BaseComponent.__init__(self, spec)
