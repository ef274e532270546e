"""Which verdict the images of every source got."""

from collections.abc import Sequence

import numpy as np

from serving import contract


def verdict_confusion(
    true_sources: Sequence[str],
    verdicts: Sequence[str],
    source_names: Sequence[str],
    labels: np.ndarray,
    with_uncertain: bool = False,
) -> tuple[list[str], list[str], np.ndarray]:
    """Counts which verdict the images of every source got.

    Args:
        true_sources: the source of each image, [n].
        verdicts: the verdict on each image, [n]: a source's name or one of `serving.contract.RESERVED_VERDICTS`.
        source_names: the sources that the servable has a head for.
        labels: integers [n], 0 real, 1 fake. Which sources are real is known from these, never from a name.
        with_uncertain: whether the servable has a band in which its verdict is `uncertain`; such images are counted in
            a column of their own, which is right for no row.

    Returns:
        row names: `real` (all real sources as one), the sources with a head in their order, then fake sources without a
            head, sorted.
        column names: `real`, the sources with a head, `unknown_generator`, `contradiction`; then `uncertain`, if there
            is a band.
        counts, int64 [rows, columns]; they add up to n.

    Raises:
        ValueError: if lengths differ, a label is not 0 or 1, a source is named like a reserved verdict or listed twice,
            or a verdict is not among the columns.
    """
    real = contract.VERDICT_REAL
    labels = np.asarray(labels)
    if not len(true_sources) == len(verdicts) == labels.size:
        raise ValueError(
            "true_sources, verdicts and labels: must be equally long, "
            f"got {len(true_sources)}, {len(verdicts)} and {labels.size}."
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels: must be 0 or 1, got {sorted(set(labels.tolist()))}.")
    columns = [real, *source_names, contract.VERDICT_UNKNOWN_GENERATOR, contract.VERDICT_CONTRADICTION]
    if with_uncertain:
        columns.append(contract.VERDICT_UNCERTAIN)
    if len({*columns, *contract.RESERVED_VERDICTS}) != len(source_names) + len(contract.RESERVED_VERDICTS):
        raise ValueError(f"source_names: must be unique and none of {contract.RESERVED_VERDICTS}, got {source_names}.")
    fakes = {str(source) for source, label in zip(true_sources, labels, strict=True) if label}
    if strange := fakes & set(contract.RESERVED_VERDICTS):
        raise ValueError(f"true_sources: a fake source may not be named like a verdict, got {sorted(strange)}.")
    rows = [real, *source_names, *sorted(fakes - set(source_names))]
    row_of, column_of = ({name: index for index, name in enumerate(names)} for names in (rows, columns))
    matrix = np.zeros((len(rows), len(columns)), np.int64)
    for source, verdict, label in zip(true_sources, verdicts, labels, strict=True):
        if verdict not in column_of:
            raise ValueError(f"verdicts: {verdict!r} is none of {columns}.")
        matrix[row_of[source if label else real], column_of[verdict]] += 1
    return rows, columns, matrix
