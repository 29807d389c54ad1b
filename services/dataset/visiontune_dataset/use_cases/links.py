"""Links by which pictures are shown where nobody has an API key, and what they lead to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from visiontune_dataset.domain.datasets import Version
from visiontune_dataset.domain.failures import ImageLinkInvalid, ImageLinksOff
from visiontune_dataset.domain.links import ImageLink, ends_at
from visiontune_dataset.ports import Deps, SignsLinks
from visiontune_dataset.use_cases import versions
from visiontune_dataset.use_cases.versions import ImageBytes


@dataclass(frozen=True, slots=True)
class ExampleLinks:
    """URLs of the pictures of a row; without images there are none."""

    row: int
    thumbnail: str
    images: Sequence[str]


async def sign_links(
    version: Version, rows: Sequence[int], ttl: timedelta, deps: Deps
) -> tuple[list[ExampleLinks], datetime]:
    """Returns links for each of `rows`, and when they end. Raises ImageLinksOff, ExampleNotFound."""
    links = _links(deps)
    for row in rows:
        versions.check_row(version, row)
    end = ends_at(deps.clock.now(), ttl)
    ascending = sorted(set(rows))
    shown = dict(zip(ascending, await versions.examples_at(version, ascending, deps), strict=True))

    def url(row: int, image: int | None) -> str:
        return links.url(ImageLink(version.name, _digest(version), row, image), end)

    def of(row: int) -> ExampleLinks:
        images = [url(row, image) for image in range(len(shown[row].content["images"]))]
        return ExampleLinks(row, url(row, None) if images else "", images)

    return [of(row) for row in rows], end


async def open_link(token: str, deps: Deps) -> tuple[ImageBytes, datetime]:
    """Returns the picture and when the link ends.

    Raises ImageLinksOff, ImageLinkInvalid, DatasetNotFound, VersionNotFound, ExampleNotFound.
    """
    link, end = await asyncio.to_thread(_links(deps).read, token)
    _, project, _, dataset, _, number = link.version.split("/")
    version = await versions.get_version(project, dataset, int(number.removeprefix("v")), deps)
    if _digest(version) != link.digest:
        raise ImageLinkInvalid("it was made for an older version of that name")
    if link.image is None:
        return await versions.get_thumbnail(version, link.row, deps), end
    return await versions.get_image(version, link.row, link.image, deps), end


def _digest(version: Version) -> str:
    return version.manifest_sha256[:16]


def _links(deps: Deps) -> SignsLinks:
    if deps.links is None:
        raise ImageLinksOff
    return deps.links
