"""Load an image set for a benchmark."""

import click

from robustbook import data
from robustbook.data import DataError, ImageSet


def load(name: str, split: str) -> ImageSet:
    """Return an image set, as `robustbook.data.load` does. If it cannot be found or downloaded, the
    command ends with one sentence instead of a traceback.
    """
    try:
        return data.load(name, split)
    except DataError as error:
        raise click.ClickException(str(error)) from error
