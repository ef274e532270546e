"""A servable in this process, asked like a server. Importing it imports TensorFlow."""

import json
from collections.abc import Sequence
from pathlib import Path

from serving import contract
from serving.client.answers import Answer, PredictionError, answers_from_outputs
from serving.client.view import ModelView
from serving.errors import ServableError, ServingError
from serving.servable.model import Servable, string_array
from serving.servable.rows import run_batch
from serving.servable.versions import Version, find_version


class LocalModel:
    """Loads a servable and answers from it.

    Args:
        path: a base directory (its newest version is loaded), or one version's directory.

    Attributes:
        version: the version that was loaded.
        view: what part of an image the models look at; None if the servable does not say.

    Raises:
        ServableError: if there is no servable, or it does not keep the contract.
    """

    def __init__(self, path: Path) -> None:
        self.version = find_version(Path(path))
        self.view = _read_view(self.version)
        self._servable = Servable(self.version)

    def predict(self, images: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT) -> list[Answer]:
        """Computes a batch; see `Predictor.predict`.

        Raises:
            PredictionError: if an image, or the batch, cannot be processed.
        """
        if not images:
            return []
        try:
            outputs = run_batch(self._servable, signature, {contract.INPUT_IMAGE_BYTES: string_array(images)})
        except ServingError as error:
            raise PredictionError(error.grpc_code, str(error)) from error
        return answers_from_outputs(outputs, len(images))


def _read_view(version: Version) -> ModelView | None:
    path = version.path / contract.ASSET_OPERATING_POINTS
    if not path.is_file():
        return None
    try:
        described = json.loads(path.read_text(encoding="utf-8"))["input"]
        if described.get("views"):
            return None  # heatmaps cover the whole image
        return ModelView(size=described["size"], representation=described["representation"])
    except KeyError:
        return None  # the assets may say more, or less, than what pictures need
    except (ValueError, TypeError) as error:
        raise ServableError(f"{path}: is damaged: {error}. Export the servable again.") from error
