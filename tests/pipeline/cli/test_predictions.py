from pipeline.cli.predictions import summarise


def test_shares_are_of_all_images_and_contradictions_are_neither_fake_nor_attributed():
    verdicts = ["real", "real", "real", "progan_a", "sngan_b", "unknown_generator", "contradiction", "real"]
    assert summarise(verdicts).splitlines() == [
        "8 images: 37.5 % fake, 25.0 % attributed to a source",
        "WARNING: 12.5 % called real by detection, yet claimed by a source",
    ]


def test_uncertain_images_are_neither_fake_nor_attributed_and_have_a_share_of_their_own():
    verdicts = ["real", "uncertain", "progan_a", "unknown_generator"]
    assert summarise(verdicts) == "4 images: 50.0 % fake, 25.0 % attributed to a source, 25.0 % uncertain"


def test_without_contradictions_there_is_no_warning():
    assert summarise(["real", "progan_a"]) == "2 images: 50.0 % fake, 50.0 % attributed to a source"


def test_no_image_gives_no_shares():
    assert summarise([]) == "0 images judged"
