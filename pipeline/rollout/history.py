"""What labels named before: `models.history.json` beside models.config, so that a rollback knows where to go.

For each model and label a list of moves, newest last. A move counts only if the label still names what it moved to:
what was edited by hand meanwhile, or noted by a command that was killed before it moved anything, is passed over.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.rollout.models_file import ModelsFileError, replace_file

_MOST_MOVES = 100  # of each label


@dataclass(frozen=True)
class Move:
    """One move of a label.

    Attributes:
        before: the version that it named; None if the label is new.
        after: the version that it names since.
        at: when, ISO 8601, UTC.
    """

    before: int | None
    after: int
    at: str


@dataclass
class History:
    """The moves of all labels.

    Attributes:
        path: the file.
        moves: model -> label -> moves, oldest first.
    """

    path: Path
    moves: dict[str, dict[str, list[Move]]] = field(default_factory=dict)

    @classmethod
    def beside(cls, models_config: Path) -> "History":
        """Reads the history that lies beside a models.config; empty if there is none.

        Raises:
            ModelsFileError: if it is damaged.
        """
        path = models_config.with_name(f"{models_config.stem}.history.json")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            moves = {
                model: {label: [Move(**move) for move in moves] for label, moves in labels.items()}
                for model, labels in values.items()
            }
        except FileNotFoundError:
            return cls(path)
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise ModelsFileError(
                f"{path}: holds no history of labels ({error}). Remove it: a rollback then goes to the next lower "
                "version that is listed."
            ) from error
        return cls(path, moves)

    def last_move(self, model: str, label: str, current: int) -> Move | None:
        """Returns the move that made a label name `current`, None if no such move is known."""
        for move in reversed(self.moves.get(model, {}).get(label, [])):
            if move.after == current:
                return move
        return None

    def add(self, model: str, label: str, before: int | None, after: int) -> None:
        """Notes a move; later ones than that which led to `before` are forgotten."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        known = self._until(model, label, before)
        self._set(model, label, [*known, Move(before, after, at)][-_MOST_MOVES:])

    def undo(self, model: str, label: str, current: int) -> None:
        """Forgets the move to `current`, and what came after it."""
        self._set(model, label, self._until(model, label, current)[:-1])

    def write(self, like: Path) -> None:
        """Writes the file, whole or not at all, with the permissions of `like`."""
        values = {
            model: {label: [vars(move) for move in moves] for label, moves in labels.items()}
            for model, labels in self.moves.items()
        }
        replace_file(self.path, (json.dumps(values, indent=2) + "\n").encode(), like)

    def _until(self, model: str, label: str, current: int | None) -> list[Move]:
        """Returns the moves up to the last one that led to `current`; all of them if none did, none for a new label."""
        moves = self.moves.get(model, {}).get(label, []) if current is not None else []
        ends = [place for place, move in enumerate(moves, start=1) if move.after == current]
        return moves[: ends[-1]] if ends else moves

    def _set(self, model: str, label: str, moves: list[Move]) -> None:
        self.moves.setdefault(model, {})[label] = moves
