"""What one import may hold. One place, so that a service, the CLI and the tests agree."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper (and for sides, lower) bounds of one import; a value equal to a bound is allowed."""

    images: int = 10_000
    members_per_image: int = 4
    records: int = 1_000_000
    image_bytes: int = 20 * MIB
    image_pixels: int = 64_000_000
    shortest_side_px: int = 8
    longest_side_px: int = 16_384
    messages_per_example: int = 100
    images_per_example: int = 64
    image_bytes_per_example: int = 64 * MIB
    video_bytes: int = 512 * MIB
    video_frames: int = 100_000
    video_seconds: int = 60  # that decoding one may take
    record_bytes: int = 1 * MIB
    json_depth: int = 64
    text_characters: int = 32_768
    path_bytes: int = 1024
    tar_header_bytes: int = 1 * MIB
    expansion_ratio: int = 100
    expansion_free_bytes: int = 10 * MIB
    archive_bytes: int = 100 * 1024 * MIB
    csv_field_bytes: int = 128 * KIB

    @property
    def embedded_record_bytes(self) -> int:
        """Largest record that holds its images itself, in base64."""
        return self.record_bytes + self.image_bytes_per_example * 4 // 3

    @property
    def members(self) -> int:
        """Most members an archive may have."""
        return self.images * self.members_per_image
