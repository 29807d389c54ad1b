"""One file inside an archive, as its reader found it."""

from dataclasses import dataclass

from visiontune_data.report import Problem


@dataclass(frozen=True, slots=True)
class Member:
    """`raw` is the path as stored (undecodable bytes as surrogates), `offset` where its header begins.

    `problem` is what the archive format says against it: a link, a device, a sparse file.
    """

    raw: str
    size: int
    offset: int
    problem: Problem | None = None
