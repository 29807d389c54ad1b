"""How large a model is, as far as its memory and its work depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass

from visiontune_recipes.estimate.layers import Layers
from visiontune_recipes.estimate.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model, as far as its memory and its work depend on it.

    vision_others, language_others: weights of these parts outside of their layers, embeddings and head aside.
    unread_layers: of the tower's last ones, which nothing reads. unread: other weights that no step reaches.
    others: weights that belong to no part, so that they never train.
    """

    language: Layers
    vocabulary: int
    is_tied: bool  # the head's weights are the embeddings'
    has_head: bool
    vision: Layers | None = None
    pictures: Pictures | None = None
    patch_values: int = 0  # of a place, as the tower takes it
    towers: int = 1  # of the same size, one for pictures and one for videos
    vision_others: int = 0
    language_others: int = 0
    projector_parameters: int = 0
    others: int = 0
    unread_layers: int = 0
    unread: Mapping[str, int] | None = None  # by part
    positions: int = 0  # tokens that the language model can read; 0: as many as there are
    text_length: int = 0  # to which every text is filled up; 0: none is

    @property
    def language_parameters(self) -> int:
        """Weights of the language model with embeddings and head."""
        copies = 2 if self.has_head and not self.is_tied else 1
        return (
            self.language.parameters + copies * self.vocabulary * self.language.width + self.language_others
        )

    @property
    def vision_parameters(self) -> int:
        """Weights of the vision tower, or of both."""
        return self.towers * (self.vision.parameters + self.vision_others) if self.vision else 0

    @property
    def parameters(self) -> int:
        """Weights of all parts."""
        return self.language_parameters + self.vision_parameters + self.projector_parameters + self.others

    @property
    def bytes_of_patch(self) -> int:
        """Of what the tower takes of one of its places, in main memory."""
        return 4 * self.patch_values

    def unread_of(self, part: str) -> int:
        """Weights of a part that no step reaches, so that they do not train with it."""
        layers = self.vision.parameters_of_one if self.vision and part == "vision_tower" else 0
        return self.towers * self.unread_layers * layers + (self.unread or {}).get(part, 0)

    def patches(self, width_px: float, height_px: float) -> int:
        """Places of a picture in the vision tower."""
        return self.pictures.patches(width_px, height_px) if self.pictures else 0

    def tokens_of_image(self, width_px: float, height_px: float) -> int:
        """Tokens of a picture in the text of the language model."""
        return self.pictures.tokens(width_px, height_px) if self.pictures else 0
