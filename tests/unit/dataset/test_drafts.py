"""What a draft allows when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from visiontune_dataset.domain.drafts import LIFETIME, MOST_EDITS, CommitJob, Draft
from visiontune_dataset.domain.failures import (
    DraftCommitting,
    DraftEmpty,
    DraftOutdated,
    StaleEtag,
    TooManyEdits,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DRAFT = Draft("p", "d", "draft-1", 3, 2, 5, "", NOW, NOW, NOW + LIFETIME)
OPERATION = "projects/p/datasets/d/operations/commit-1"


def test_every_change_is_another_etag_and_a_longer_life() -> None:
    for changed in (
        DRAFT.with_edits(2, LATER),
        DRAFT.without_edits(1, LATER),
        DRAFT.rebased(4, LATER),
        DRAFT.committing(OPERATION, 3, LATER),
        DRAFT.released(LATER),
    ):
        assert changed.etag != DRAFT.etag
        assert changed.expires_at == LATER + LIFETIME
    assert (DRAFT.with_edits(2, LATER).edit_count, DRAFT.with_edits(2, LATER).last_number) == (4, 7)
    assert (DRAFT.without_edits(1, LATER).edit_count, DRAFT.without_edits(1, LATER).last_number) == (1, 5)


def test_while_it_is_committed_it_cannot_be_changed() -> None:
    committing = DRAFT.committing(OPERATION, 3, LATER)
    with pytest.raises(DraftCommitting, match=f"is being committed by {OPERATION}"):
        committing.check_open("")
    with pytest.raises(StaleEtag):
        committing.check_open(DRAFT.etag)
    committing.released(LATER).check_open("")
    DRAFT.check_open(DRAFT.etag)


def test_only_edits_of_the_newest_version_are_committed() -> None:
    with pytest.raises(DraftOutdated, match="edits v3, and v4 is the newest"):
        DRAFT.committing(OPERATION, 4, LATER)
    with pytest.raises(DraftEmpty):
        replace(DRAFT, edit_count=0).committing(OPERATION, 3, LATER)


def test_edits_are_bounded() -> None:
    DRAFT.with_edits(MOST_EDITS - 2, LATER)
    with pytest.raises(TooManyEdits):
        DRAFT.with_edits(MOST_EDITS - 1, LATER)


def test_a_commit_survives_as_bytes() -> None:
    job = CommitJob("p", "d", "commit-1", "draft-1", 3, ("projects/p/objects/o",), NOW.isoformat())
    assert CommitJob.from_bytes(job.to_bytes()) == job
    assert job.operation == OPERATION
