"""Nodes that need no images: each appends to a log beside the pipeline, which tells what was executed."""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.types.standard_artifacts import Model

FAIL = "fail"


@component
def Make(model: OutputArtifact[Model], text: Parameter[str], log: Parameter[str]) -> None:
    """Writes a text, or fails if that is `FAIL`."""
    found = sorted(path.name for path in Path(model.uri).iterdir())
    with Path(log).open("a") as file:
        file.write(f"make {' '.join(found)}\n".replace(" \n", "\n"))
    if text == FAIL:
        raise ValueError("asked to fail")
    (Path(model.uri) / "text").write_text(text)


@component
def Copy(made: InputArtifact[Model], model: OutputArtifact[Model], log: Parameter[str]) -> None:
    """Writes the same text again."""
    with Path(log).open("a") as file:
        file.write("copy\n")
    (Path(model.uri) / "text").write_text((Path(made.uri) / "text").read_text())


def two_nodes(root: Path, text: str = "a") -> Pipeline:
    """Returns the pipeline Make -> Copy; what is executed stands in `<root>/log`."""
    make = Make(text=text, log=str(root / "log"))
    copy = Copy(made=make.outputs["model"], log=str(root / "log"))
    return Pipeline(
        pipeline_name="two",
        pipeline_root=str(root / "pipeline"),
        components=[make, copy],
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite")),
    )
