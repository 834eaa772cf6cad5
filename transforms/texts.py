"""Text branch: items enter, one text part leaves for each of them.

The release's tensorflow-transform graph turns texts into features, in batches.
"""

import dataclasses

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from models.kernels import CallLimits
from transforms import coders  # noqa: F401 - registers the records'
from transforms.handlers import TextHandler
from transforms.records import Item, Part


@dataclasses.dataclass(eq=False, kw_only=True)
class EncodeTexts(beam.PTransform):
    """Item -> text Part: every item is answered; one without a text has no features."""

    releases: str
    batch_size: int
    calls: CallLimits = CallLimits()

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Part]:
        handler = TextHandler(releases=self.releases, calls=self.calls, batch_size=self.batch_size)
        return items | "Encode" >> RunInference(handler).with_output_types(Part)
