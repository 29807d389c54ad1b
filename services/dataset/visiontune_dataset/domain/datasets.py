"""Datasets and their versions, as this service keeps them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate

from visiontune_data.splits import SPLIT_NAMES

from visiontune_dataset.domain.failures import StaleEtag


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named series of versions. `deleting` hides it from everyone.

    Until `purge_at` it can be brought back; without that its objects are being removed.
    """

    project: str
    id: str
    uid: str
    display_name: str
    description: str
    latest_version: int  # 0: none
    version_count: int
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    deleting: bool = False
    last_number: int = 0  # of the versions so far, those that were deleted included: none is given twice
    purge_at: datetime | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return f"projects/{self.project}/datasets/{self.id}"

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return hashlib.sha256(f"{self.uid}/{self.revision}".encode()).hexdigest()[:16]

    def changed(self, at: datetime, *, display_name: str, description: str, etag: str) -> "Dataset":
        """The dataset with these texts. Raises StaleEtag when an etag is given and is not the present one."""
        if etag and etag != self.etag:
            raise StaleEtag(self.name)
        return replace(
            self,
            display_name=display_name,
            description=description,
            updated_at=at,
            revision=self.revision + 1,
        )

    def with_version(self, at: datetime) -> "Dataset":
        """The dataset once its next version is in it, as the latest one."""
        number = self.last_number + 1
        return replace(
            self,
            latest_version=number,
            last_number=number,
            version_count=self.version_count + 1,
            updated_at=at,
            revision=self.revision + 1,
        )

    def without_version(self, latest: int, at: datetime) -> "Dataset":
        """The dataset with a version fewer; `latest` is the newest of those that stay, 0 for none."""
        return replace(
            self,
            latest_version=latest,
            version_count=self.version_count - 1,
            updated_at=at,
            revision=self.revision + 1,
        )

    def with_restored(self, number: int, at: datetime) -> "Dataset":
        """The dataset once a deleted version is in it again."""
        return replace(
            self,
            latest_version=max(self.latest_version, number),
            version_count=self.version_count + 1,
            updated_at=at,
            revision=self.revision + 1,
        )

    def being_deleted(self, at: datetime, purge_at: datetime | None) -> "Dataset":
        """The dataset, hidden: until then it can be brought back (None: not at all)."""
        return replace(self, deleting=True, purge_at=purge_at, updated_at=at, revision=self.revision + 1)

    def is_restorable(self, now: datetime) -> bool:
        """Whether it is deleted and can be brought back."""
        return self.deleting and self.purge_at is not None and self.purge_at > now

    def restored(self, at: datetime) -> "Dataset":
        """The dataset, there again."""
        return replace(self, deleting=False, purge_at=None, updated_at=at, revision=self.revision + 1)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A Parquet file in the bucket."""

    object: str  # resource name of storage's object
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredShard:
    """One shard of a version: the examples, and the preview with the same rows."""

    index: int
    row_count: int
    split_counts: Mapping[str, int]
    examples: StoredFile
    preview: StoredFile


@dataclass(frozen=True, slots=True)
class Version:
    """Immutable examples. `owner` is the resource on whose behalf storage keeps the shards."""

    project: str
    dataset: str
    number: int
    digest: str
    manifest_sha256: str
    format: str
    kinds: tuple[str, ...]
    example_count: int
    image_count: int
    size_bytes: int
    split_counts: Mapping[str, int]
    report_id: str
    source_filename: str
    source_sha256: str
    owner: str
    row_splits: bytes  # a byte a row: index into SPLIT_NAMES
    shards: tuple[StoredShard, ...]
    created_at: datetime
    parent: int = 0  # number of the version that it was made of; 0: none
    draft: str = ""  # id of the draft that was committed
    uploads: tuple[str, ...] = ()  # resource names
    read_until: datetime | None = None  # when the last signed URL for training stops working
    purge_at: datetime | None = None  # set when it is deleted: until then it can be brought back

    @property
    def dataset_name(self) -> str:
        """The dataset's resource name."""
        return f"projects/{self.project}/datasets/{self.dataset}"

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{self.dataset_name}/versions/v{self.number}"

    def shared(self, places: Mapping[int, int]) -> Mapping[int, StoredShard]:
        """Its shards as those of a version made of it; `places` has their indices here by those there."""
        return {at: replace(self.shards[of], index=at) for at, of in places.items()}

    def rows(self, split: str) -> Sequence[int]:
        """Row numbers of the examples of a split (empty: of all)."""
        if not split:
            return range(self.example_count)
        if split not in SPLIT_NAMES:
            return []
        code = SPLIT_NAMES.index(split)
        return [row for row, found in enumerate(self.row_splits) if found == code]

    def located(self, rows: Sequence[int]) -> list[tuple[StoredShard, list[int]]]:
        """The shards of ascending row numbers, each with the numbers of its own rows."""
        ends = list(accumulate(shard.row_count for shard in self.shards))
        found = []
        for shard, end in zip(self.shards, ends, strict=True):
            begin = end - shard.row_count
            own = [row - begin for row in rows if begin <= row < end]
            if own:
                found.append((shard, own))
        return found
