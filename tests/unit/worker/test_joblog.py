"""What libraries warn of is told to whoever owns the job: once, and of these libraries alone."""

import logging
import warnings

from visiontune_worker import joblog


def test_a_warning_of_a_library_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    with joblog.forwarding(lambda level, text: told.append((level, text))):
        for _ in range(3):
            logging.getLogger("transformers.generation").warning("No pad token, so %s it is.", "eos")
        logging.getLogger("torch").error("Something broke.")
        logging.getLogger("peft").info("Nothing of note.")
        logging.getLogger("urllib3").warning("Retrying /bucket?X-Amz-Signature=secret")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("Divided by next to nothing.", stacklevel=1)
    logging.getLogger("torch").error("Too late.")
    assert told[:2] == [
        ("warning", "transformers.generation: No pad token, so eos it is."),
        ("error", "torch: Something broke."),
    ]
    assert len(told) == 3
    assert told[2][1].startswith("py.warnings: ")
    assert "Divided by next to nothing." in told[2][1]


def test_who_never_says_the_same_fills_no_log() -> None:
    told: list[str] = []
    with joblog.forwarding(lambda _, text: told.append(text)):
        for number in range(joblog.MOST_DIFFERENT + 5):
            logging.getLogger("torch").warning("Step %d.", number)
    assert len(told) == joblog.MOST_DIFFERENT
