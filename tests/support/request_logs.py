"""Request logs whose rows are drawn from known distributions."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np

from serving.request_log.columns import BANDS, ImageColumns
from serving.request_log.entries import Answered, Entry

HEAD = "progan_celeba"


def entries(
    count: int, seed: int, *, shift: float = 0.0, jpegs: float = 0.7, day: date = date(2026, 11, 25), version: int = 3
) -> Iterator[Entry]:
    """Yields rows of one world.

    Args:
        count: how many.
        seed: of the draw.
        shift: added to every band's mean, in standard deviations.
        jpegs: share of JPEG files; the others are PNG.
        day: when they were answered.
        version: that answered.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        is_jpeg = rng.random() < jpegs
        fake, head = 1 / (1 + np.exp(-rng.normal(0, 2, 2)))
        image = ImageColumns(
            format="JPEG" if is_jpeg else "PNG",
            height=int(2 ** rng.uniform(7, 11)),
            width=int(2 ** rng.uniform(7, 11)),
            jpeg_quality=int(rng.choice([75, 90, 95])) if is_jpeg else None,
            bytes=int(2 ** rng.uniform(13, 21)),
            log_dct_bands=tuple(
                round(float(band), 4) for band in np.linspace(6, 2, BANDS) + rng.normal(shift, 1, BANDS)
            ),
        )
        verdict = HEAD if fake >= 0.5 else "real"
        answer = Answered("generator_attribution", version, float(fake), {HEAD: float(head)}, verdict)
        yield Entry(datetime.combine(day, time(12), UTC), image, answer)


def write_day(folder: Path, day: date, rows: Iterator[Entry], owner: str = "host-1") -> Path:
    """Writes the log of one day by one server, and returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"requests-{day.isoformat()}-{owner}-000.jsonl"
    path.write_text("".join(row.to_line() for row in rows))
    return path
