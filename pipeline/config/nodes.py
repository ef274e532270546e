"""Identifiers of the pipeline's nodes.

They stand below everything that names a node: the graph, the settings of single nodes, the records of the metadata
store, the report. Where a kind has several nodes, each is named by the kind, a dot, and what tells it apart.
"""

EXAMPLE_GEN = "ImportExampleGen"
STATISTICS_GEN = "StatisticsGen"
SCHEMA_GEN = "SchemaGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
TRANSFORM = "Transform"
PRIMARY_TRAINER = "PrimaryTrainer"
SECONDARY_TRAINER = "SecondaryTrainer"  # a kind
BASELINE_TRAINER = "BaselineTrainer"  # a kind
EVALUATOR = "Evaluator"  # a kind
PERTURBED_EXAMPLES = "PerturbedExamples"
ROBUSTNESS_EVALUATOR = "RobustnessEvaluator"
ASSEMBLER = "Assembler"
SERVABLE_VALIDATOR = "ServableValidator"
REFERENCE_STATISTICS = "ReferenceStatistics"
PUSHER = "Pusher"
ROBUSTNESS_SCORES = "RobustnessScores"
LEAVE_ONE_OUT = "LeaveOneOut"

TRAINERS = (PRIMARY_TRAINER, SECONDARY_TRAINER, BASELINE_TRAINER)  # kinds
PRIMARY = "primary"  # name of the primary module beside those of the heads


def kind_of(node: str) -> str:
    """Return the kind of a node, e.g. "SecondaryTrainer" for "SecondaryTrainer.progan_celeba"."""
    return node.split(".", maxsplit=1)[0]


def head_trainer(source: str) -> str:
    """Return the node that trains the head of a source."""
    return f"{SECONDARY_TRAINER}.{source}"


def trainer_of(model: str) -> str:
    """Return the node that trains a served model: "primary", or the head of a source."""
    return PRIMARY_TRAINER if model == PRIMARY else head_trainer(model)


def evaluator_of(model: str) -> str:
    """Return the node that evaluates a served model: "primary", or the head of a source."""
    return f"{EVALUATOR}.{model}"


def evaluated_model(node: str) -> str | None:
    """Return the model that a node evaluates, as `evaluator_of` takes it; None for any other node."""
    kind, _, model = node.partition(".")
    return model if kind == EVALUATOR else None


def baseline_trainer(architecture: str, task: str, source: str = "") -> str:
    """Return the node that trains a baseline; `source` is empty unless its task is attribution."""
    return ".".join(filter(None, (BASELINE_TRAINER, architecture, task, source)))
