"""The transforms that a policy may name, with their parameters, bounds and what they do to a text's truth.

Names and parameters are those of torchvision's v2 family, but for ranges, which are a pair of parameters
`…_min` and `…_max`. Only transforms are here that take a picture and give one of the same size.
docs/augmentation.md shows these tables; a test compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from visiontune_recipes.facts import Sense

PROBABILITY = "probability"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a transform takes, within bounds that belong to it."""

    name: str
    default: float
    lowest: float
    highest: float
    description: str
    whole: bool = False

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.lowest:g} to {self.highest:g}; {self.default:g} when absent"

    def takes(self, value: float) -> bool:
        """Whether the value is within the bounds, and whole where it has to be."""
        return self.lowest <= value <= self.highest and (not self.whole or value == int(value))


@dataclass(frozen=True, slots=True)
class Breaks:
    """What a text says that may no longer be true, unless a parameter keeps within bounds.

    parameter: empty when every use of the transform breaks it.
    """

    senses: frozenset[Sense]
    parameter: str = ""
    lowest: float = 0.0
    highest: float = 0.0

    def applies(self, values: Mapping[str, float]) -> bool:
        """Whether a transform with these values breaks it."""
        return not self.parameter or not self.lowest <= values[self.parameter] <= self.highest


@dataclass(frozen=True, slots=True)
class Transform:
    """One row of the table."""

    name: str
    description: str
    parameters: Mapping[str, Parameter]
    breaks: tuple[Breaks, ...] = ()

    def broken_by(self, values: Mapping[str, float]) -> frozenset[Sense]:
        """Senses that this transform breaks with these values, which are all there and within bounds."""
        if values[PROBABILITY] == 0:
            return frozenset()
        return frozenset[Sense]().union(*(each.senses for each in self.breaks if each.applies(values)))


_PLACES = frozenset({Sense.HORIZONTAL, Sense.VERTICAL, Sense.TURNING})
_SHAPES = _PLACES | {Sense.READING}
_READING = frozenset({Sense.READING})
_COLOUR = frozenset({Sense.COLOUR})
_FILL = Parameter("fill", 0, 0, 255, "grey of what comes in from outside; 0 is black", whole=True)


def _transform(
    name: str,
    description: str,
    *parameters: Parameter,
    breaks: tuple[Breaks, ...] = (),
    probability: float = 1,
) -> Transform:
    share = Parameter(PROBABILITY, probability, 0, 1, "share of pictures that are changed")
    return Transform(
        name, description, MappingProxyType({each.name: each for each in (*parameters, share)}), breaks
    )


_ROWS = (
    _transform(
        "AugMix",
        "mixes several chains of random changes of light, colour and geometry (arXiv:1912.02781)",
        Parameter("severity", 3, 1, 10, "how far each change may go", whole=True),
        Parameter("mixture_width", 3, 1, 5, "chains that are mixed", whole=True),
        Parameter("alpha", 1, 0.1, 10, "evenness of the mixture"),
        breaks=(Breaks(_COLOUR), Breaks(_SHAPES, "severity", 1, 3)),
    ),
    _transform(
        "ColorJitter",
        "changes light and colour, each by a random factor within 1 ± its parameter",
        Parameter("brightness", 0.2, 0, 1, "how much lighter or darker"),
        Parameter("contrast", 0.2, 0, 1, "how much flatter or starker"),
        Parameter("saturation", 0.2, 0, 1, "how much paler or brighter in colour"),
        Parameter("hue", 0, 0, 0.5, "how far round the circle of colours, of which 1 is the whole"),
        breaks=(Breaks(_COLOUR, "hue", 0, 0.05), Breaks(_COLOUR, "saturation", 0, 0.5)),
    ),
    _transform(
        "GaussianBlur",
        "blurs",
        Parameter("sigma_min", 0.1, 0.05, 5, "least blur, in pixels"),
        Parameter("sigma_max", 1, 0.05, 5, "most blur, in pixels"),
        breaks=(Breaks(_READING, "sigma_max", 0, 2),),
    ),
    _transform(
        "JPEG",
        "compresses and decompresses",
        Parameter("quality_min", 50, 5, 100, "worst quality", whole=True),
        Parameter("quality_max", 95, 5, 100, "best quality", whole=True),
        breaks=(Breaks(_READING, "quality_min", 20, 100),),
    ),
    _transform(
        "RandAugment",
        "applies a few random changes of light, colour and geometry (arXiv:1909.13719)",
        Parameter("num_ops", 2, 1, 5, "changes, one after another", whole=True),
        Parameter("magnitude", 9, 0, 30, "how far each change goes", whole=True),
        _FILL,
        breaks=(Breaks(_COLOUR), Breaks(_SHAPES, "magnitude", 0, 9)),
    ),
    _transform(
        "RandomAdjustSharpness",
        "sharpens, or softens with a factor below 1",
        Parameter("sharpness_factor", 2, 0, 10, "1 leaves it as it is"),
        probability=0.5,
    ),
    _transform(
        "RandomAffine",
        "turns, shifts, scales and shears",
        Parameter("degrees", 5, 0, 180, "largest turn either way"),
        Parameter("translate", 0.02, 0, 0.5, "largest shift, as a share of each side"),
        Parameter("scale_min", 0.95, 0.5, 2, "smallest scale"),
        Parameter("scale_max", 1.05, 0.5, 2, "largest scale"),
        Parameter("shear", 0, 0, 45, "largest shear in degrees"),
        _FILL,
        breaks=(
            Breaks(_SHAPES, "degrees", 0, 10),
            Breaks(_READING, "translate", 0, 0.1),
            Breaks(_READING, "scale_max", 0, 1.2),
            Breaks(_READING, "shear", 0, 15),
        ),
    ),
    _transform(
        "RandomAutocontrast",
        "stretches each colour to its full range",
        breaks=(Breaks(_COLOUR),),
        probability=0.5,
    ),
    _transform(
        "RandomEqualize",
        "spreads each colour evenly over its range",
        breaks=(Breaks(_COLOUR),),
        probability=0.5,
    ),
    _transform("RandomGrayscale", "takes the colour away", breaks=(Breaks(_COLOUR),), probability=0.1),
    _transform(
        "RandomHorizontalFlip",
        "mirrors left and right",
        breaks=(Breaks(frozenset({Sense.HORIZONTAL, Sense.TURNING, Sense.READING})),),
        probability=0.5,
    ),
    _transform("RandomInvert", "makes a negative", breaks=(Breaks(_COLOUR),), probability=0.5),
    _transform(
        "RandomPerspective",
        "looks at it from another side",
        Parameter("distortion_scale", 0.2, 0, 1, "how far the corners move"),
        _FILL,
        breaks=(Breaks(_READING, "distortion_scale", 0, 0.3),),
        probability=0.5,
    ),
    _transform(
        "RandomPosterize",
        "leaves fewer steps of each colour",
        Parameter("bits", 5, 1, 8, "bits that are left", whole=True),
        breaks=(Breaks(_COLOUR, "bits", 4, 8),),
        probability=0.5,
    ),
    _transform(
        "RandomResizedCrop",
        "cuts a part out and scales it to the whole picture's size",
        Parameter("scale_min", 0.9, 0.08, 1, "smallest part, as a share of the area"),
        Parameter("scale_max", 1, 0.08, 1, "largest part"),
        Parameter("ratio_min", 0.95, 0.5, 2, "narrowest shape, width to height of the picture's own"),
        Parameter("ratio_max", 1.05, 0.5, 2, "widest shape"),
        breaks=(Breaks(_SHAPES, "scale_min", 0.8, 1),),
    ),
    _transform(
        "RandomRotation",
        "turns about the middle",
        Parameter("degrees", 5, 0, 180, "largest turn either way"),
        _FILL,
        breaks=(Breaks(_SHAPES, "degrees", 0, 10),),
    ),
    _transform(
        "RandomSolarize",
        "inverts what is lighter than a threshold",
        Parameter("threshold", 128, 0, 255, "from this value on"),
        breaks=(Breaks(_COLOUR),),
        probability=0.5,
    ),
    _transform(
        "RandomVerticalFlip",
        "mirrors top and bottom",
        breaks=(Breaks(frozenset({Sense.VERTICAL, Sense.TURNING, Sense.READING})),),
        probability=0.5,
    ),
    _transform(
        "TrivialAugmentWide",
        "applies one random change of light, colour or geometry, of any strength (arXiv:2103.10158)",
        _FILL,
        breaks=(Breaks(_SHAPES | _COLOUR),),
    ),
)

TRANSFORMS: Mapping[str, Transform] = MappingProxyType({each.name: each for each in _ROWS})
