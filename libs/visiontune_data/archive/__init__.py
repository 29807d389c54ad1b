"""Archives as streams of members: sniffed, checked as they pass, never unpacked by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from visiontune_data import paths
from visiontune_data.archive import sniff, tar_members, zip_members
from visiontune_data.archive.member import Member
from visiontune_data.archive.refused import Refused, refuse
from visiontune_data.archive.stream import ByteStream, Guard, Source, gunzip, plain
from visiontune_data.limits import Limits
from visiontune_data.report import Place, Problem, Report
from visiontune_data.text import shorten

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
_NESTED = frozenset({"zip", "tar", "gz", "tgz", "7z", "rar", "zst", "bz2", "xz"})

__all__ = ["SUFFIXES", "File", "Refused", "Source", "files"]


@dataclass(frozen=True, slots=True)
class File:
    """A member that passed the path rules. `chunks` must be read before the next file is asked for."""

    path: str
    size: int
    chunks: Iterator[bytes]


def files(source: Source, report: Report, limits: Limits) -> Iterator[File]:
    """The archive's files in their order, junk left out; warnings go to `report`.

    Raises Refused at the first rule broken that stops an import.
    """
    source.seek(0)
    kind = sniff.kind_of(source.read(sniff.HEAD_BYTES))
    if problem := sniff.mislabelled(report.archive, kind):
        report.add(problem)
    source.seek(0)
    names = _Names(limits, report)
    for member, chunks in _members(kind, source, report, limits):
        path = names.accept(member)
        if not paths.is_junk(path):
            if paths.suffix(path) in _NESTED:
                report.add(
                    Problem("archive-nested", Place(path), "the archive inside is not opened", shorten(path))
                )
            yield File(path, member.size, chunks)
        for _ in chunks:  # what the caller left, so that its checksum is verified
            pass
    if not names.count:
        raise refuse("archive-empty", "the archive has 0 members")


def _members(
    kind: str, source: Source, report: Report, limits: Limits
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    guard = Guard(limits)
    if kind == "zip":
        return zip_members.members(source, guard, limits, report.add)
    chunks = gunzip(source, guard, report.add) if kind == "gzip" else plain(source, guard)
    return tar_members.members(ByteStream(chunks), limits, report.add)


@dataclass(slots=True)
class _Names:
    """The paths seen so far: each must be safe, and unlike all others."""

    limits: Limits
    report: Report
    count: int = 0
    _seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    _folded: dict[str, str] = field(default_factory=dict)

    def accept(self, member: Member) -> str:
        """The member's normalised path. Raises Refused when it breaks a rule."""
        self.count += 1
        if self.count > self.limits.members:
            raise refuse("member-count", f"the archive has more than {self.limits.members:,} members")
        problem = paths.broken_rule(member.raw, self.limits) or member.problem
        if problem:
            raise Refused(problem)
        path = paths.normalise(member.raw)
        if path in self._seen:
            raise self._collision(member, *self._seen[path])
        self._seen[path] = (member.raw, member.offset)
        self._warn(member.raw, path)
        return path

    def _collision(self, member: Member, other: str, other_offset: int) -> Refused:
        if not paths.is_same_text(member.raw, other):
            message = f"{other!a} and {member.raw!a} are the same path once composed"
            return refuse(
                "path-unicode-collision", message, place=Place(member.raw), value=ascii(member.raw)[:80]
            )
        message = f"the path is there twice, at bytes {other_offset:,} and {member.offset:,}"
        return refuse("path-duplicate", message, place=Place(member.raw), value=shorten(member.raw))

    def _warn(self, raw: str, path: str) -> None:
        if "\\" in raw:
            found = f'"{shorten(raw)}" was read as "{shorten(path)}"'
            self.report.add(Problem("path-backslash", Place(path), found, shorten(raw)))
        other = self._folded.setdefault(path.casefold(), path)
        if other != path:
            self.report.add(
                Problem(
                    "path-case-collision",
                    Place(path),
                    f'differs from "{shorten(other)}" only in case',
                    shorten(path),
                )
            )
