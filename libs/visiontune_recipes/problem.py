"""What is wrong with a job, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a job cannot run, or will hardly do what was meant."""

    field: str  # path within the spec, for example `hyperparameters.learning_rate`
    rule: str  # name of the rule, stable
    message: str  # what is wrong
    remedy: str  # what to do about it
