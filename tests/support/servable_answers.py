"""Made-up answers of a servable, with everything that an evaluation may meet."""

import numpy as np

from pipeline.evaluate.scores import Answers, Images, ServableScores, match_heads

REAL, PROGAN, SNGAN, UNSEEN = "real_ffhq", "progan_celeba", "sngan_celeba", "unseen_web"


def verdicts_by_hand(
    raw: np.ndarray, thresholds: np.ndarray, heads: list[str], band: tuple[float, float] | None = None
) -> np.ndarray:
    """The rule of the verdict, row by row."""
    said = []
    for row in np.asarray(raw, np.float32):
        claiming = [(p, head) for p, t, head in zip(row[1:], thresholds[1:], heads, strict=True) if p >= t]
        if band and np.float32(band[0]) <= row[0] <= np.float32(band[1]):
            said.append("uncertain")
        elif row[0] >= thresholds[0]:
            said.append(max(claiming)[1] if claiming else "unknown_generator")
        else:
            said.append("contradiction" if claiming else "real")
    return np.array(said, np.str_)


def make_scores(
    heads=(PROGAN, SNGAN),
    each=25,
    sources=((REAL, "test", 0), (PROGAN, "test", 1), (SNGAN, "test", 1), (UNSEEN, "testonly", 1)),
    level="instance",
    perturbations=(),
    prepared=False,
    seed=0,
    band=None,
) -> ServableScores:
    """Scores that know something of the truth; `each` images a source, thresholds that differ by column."""
    random = np.random.default_rng(seed)
    names = np.repeat(np.array([s for s, _, _ in sources], np.str_), each)
    labels = np.repeat(np.array([label for _, _, label in sources], np.int8), each)
    matches = match_heads(heads, set(names.tolist()), level)
    truth = np.stack([labels, *(np.isin(names, match.sources) for match in matches)], axis=1)
    thresholds = np.linspace(0.45, 0.6, 1 + len(heads)).astype(np.float32)

    def answers() -> Answers:
        raw = 1 / (1 + np.exp(-random.normal(1.5 * truth - 0.75, 1.0)))
        raw = raw.round(2).astype(np.float32)  # ties
        return Answers(raw, verdicts_by_hand(raw, thresholds, list(heads), band))

    images = Images(
        paths=np.array([f"{name}/{number:03d}.png" for number, name in enumerate(names)], np.str_),
        sources=names,
        splits=np.repeat(np.array([split for _, split, _ in sources], np.str_), each),
        labels=labels,
        perturbations=np.array([("none", "blur+noise")[n % 2] if prepared else "" for n in range(len(names))], np.str_),
    )
    return ServableScores(thresholds, matches, images, {name: answers() for name in ("none", *perturbations)}, band)
