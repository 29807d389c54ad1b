"""Templates: a small dataset of a format to start from."""

import io

from visiontune_data import template
from visiontune_data.formats import FORMATS

from visiontune_dataset.domain.failures import UnknownFormat


def get(format_name: str) -> bytes:
    """The template as a zip. Raises UnknownFormat."""
    if format_name not in FORMATS:
        raise UnknownFormat(format_name)
    out = io.BytesIO()
    template.write(format_name, out)
    return out.getvalue()
