"""What a predicting module does with its items: a bad one never ends the run, finished ones are skipped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L

from syncsde3d.lit.items import ITEM_ERRORS, Failed, Skipped, one_line


class ItemModule(L.LightningModule):
    """Makes one result per item of a batch; see :meth:`make` and :meth:`key`."""

    def make(self, item: Any) -> Any:
        """The item's result. Raises ValueError or OSError for an item that cannot be done."""
        raise NotImplementedError

    def key(self, item: Any) -> str:
        """Fingerprint of all that decides the item's result."""
        raise NotImplementedError

    def predict_step(self, batch: list[Any], batch_idx: int) -> list[Any]:
        return [self._attempt(item) for item in batch]

    def _attempt(self, item: Any) -> Any:
        try:
            return Skipped(item) if self._is_done(item) else self.make(item)
        except ITEM_ERRORS as error:
            return Failed(item, one_line(error))

    def _is_done(self, item: Any) -> bool:
        """Whether a writer of this run already holds the item's result, made with the same settings."""
        writers = [c for c in getattr(self._trainer, "callbacks", ()) if hasattr(c, "is_done")]
        return bool(writers) and any(writer.is_done(item, self.key(item)) for writer in writers)

    @property
    def hides_progress(self) -> bool:
        """Whether the trainer shows no progress bar, or there is none."""
        return self._trainer is None or self.trainer.progress_bar_callback is None


def check_same(
    folder: Path, made: Mapping[str, Any], settings: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Raises ValueError where the result to be extended was made with another model or other settings."""
    for name in names:
        if made.get(name) != settings[name]:
            raise ValueError(
                f"extend: '{folder}' was made with {name} {made.get(name)!r}, got {settings[name]!r}"
            )
    before, now = (sorted(map(str, s.get("models", {}).values())) for s in (made, settings))
    if before != now:
        raise ValueError(f"extend: '{folder}' was made with other weights of the model")


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Put the wall time of the block, in seconds, under the name of the stage."""
    start = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - start, 3)
