"""Pretrained weights by local folder or Hugging Face id: found or explained, safetensors only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

_KINDS = ("json", "txt", "model", "safetensors")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Source:
    """Where a model's files are. name: as the user gave it. revision: the commit, or of its weights."""

    name: str
    folder: Path
    revision: str | None = None

    def has(self, subfolder: str) -> bool:
        """Whether the model brings a component of that name."""
        return (self.folder / subfolder).is_dir()

    def config(self, subfolder: str, name: str = "config.json") -> dict[str, Any]:
        """A component's configuration. ValueError, naming model and file, if it is absent or damaged."""
        path = self.folder / subfolder / name
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ValueError(f"model '{self.name}': cannot read '{path}': {_brief(error)}") from error


def find_model(name: str, files: Sequence[str], option: str = "model", instead: Sequence[str] = ()) -> Source:
    """The folder of a model: ``name`` itself if it is one, else from the Hub's cache, else downloaded.

    name: a local folder, or a Hub id ``organisation/name``, ``organisation/name@revision``.
    files: patterns of the files wanted, relative to the repository; variants (fp16, non-EMA) never are.
    option, instead: what the message calls the argument, and ids that are known to work.

    Raises:
        ValueError: in one line: the name, where it was looked for, why not, and what to do instead.
    """
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    path = Path(name).expanduser()
    if path.is_dir():
        snapshot = path.resolve()
        cached = snapshot.parent.name == "snapshots"
        return Source(name, path, snapshot.name if cached else weights_revision(path))
    repo, _, revision = name.partition("@")
    unwanted = ["*.fp16.*", "*.fp16-*", "*non_ema*"]
    where = f"no folder '{path.absolute()}', and on {huggingface_hub.constants.ENDPOINT}"
    try:
        found = huggingface_hub.snapshot_download(
            repo, revision=revision or None, allow_patterns=list(files), ignore_patterns=unwanted
        )
    except GatedRepoError as error:
        page = f"{huggingface_hub.constants.ENDPOINT}/{repo}"
        raise ValueError(
            f"{option}: '{name}' is gated; accept its terms at {page} and run 'hf auth login', "
            f"or pass the path of a local copy as {option}"
        ) from error
    except Exception as error:  # the client's own kinds, the network's, the disk's
        known = f"; known to work: {', '.join(instead)}" if instead else ""
        raise ValueError(
            f"{option}: '{name}' was not found: {where}: {_brief(error)}; "
            f"pass the path of a local copy as {option}{known}"
        ) from error
    return Source(name, Path(found), Path(found).name)


def weights_revision(path: Path) -> str:
    """What tells a plain folder's (or file's) weights from others: a hash of names, sizes and contents.

    Of large files 64 pieces are read, evenly spread.
    """
    digest = hashlib.sha256()
    kinds = (".safetensors", ".bin", ".pt", ".pth", ".npy")
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix in kinds)
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(path).as_posix()} {size} ".encode())
        with file.open("rb") as stream:
            for i in range(64):
                stream.seek(i * size // 64)
                digest.update(stream.read(min(size // 64 + 1, 1 << 20)))
    return f"weights-{digest.hexdigest()[:12]}"


def find_parts(
    name: str,
    needed: Sequence[str],
    family: str,
    optional: Sequence[str] = (),
    option: str = "model",
    instead: Sequence[str] = (),
) -> Source:
    """The folder of a model in diffusers' layout, one subfolder per part; of these only what it asks for.

    needed, optional: the parts. family: what the message calls models that have them. Else, and errors: see
    :func:`find_model`; a folder that lacks a part is refused before its gigabytes are read.
    """
    files = [f"{part}/*.{kind}" for part in (*needed, *optional) for kind in _KINDS]
    source = find_model(name, ("model_index.json", *files), option, instead)
    for part in needed:
        if not source.has(part):
            raise ValueError(
                f"model: '{source.name}' has no '{part}' in '{source.folder}'; expected diffusers' layout of "
                f"{family}"
            )
    return source


def load_parts(
    source: Source,
    kinds: Mapping[str, Any],
    dtype: torch.dtype,
    device: torch.device | str,
    exact: Sequence[str] = (),
) -> dict[str, Any]:
    """Networks, tokenizers and the scheduler of a model, under the names of their subfolders.

    kinds: the class of each, the tokenizers by names that say so. exact: networks that stay float32.
    Raises ValueError as :func:`load_component`.
    """
    parts = {}
    for name, kind in kinds.items():
        if name.startswith("tokenizer"):
            parts[name] = load_tokenizer(kind, source, name)
        else:
            own = torch.float32 if name in exact else dtype
            parts[name] = load_component(kind, source, name, own).to(device)
    return {**parts, "scheduler": load_scheduler(source)}


def load_component(kind: Any, source: Source, subfolder: str, dtype: torch.dtype) -> Any:
    """One network of a model, frozen and in evaluation mode, all of its weights read from safetensors.

    kind: the class, of diffusers or transformers. subfolder: "" for the model's own folder.

    Raises:
        ValueError: files are absent, damaged, incomplete, or not safetensors; names model and component.
    """
    folder = source.folder / subfolder
    name = f"model '{source.name}': {subfolder or 'weights'}"
    files = [path.name for path in folder.glob("*.safetensors")]
    variant = "fp16" if files and all(".fp16" in name for name in files) else None
    try:
        with no_loading_bars():
            network, info = kind.from_pretrained(
                folder,
                torch_dtype=dtype,
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # the libraries raise a dozen kinds here, none documented
        raise ValueError(
            f"{name} cannot be read from '{folder}' (safetensors only): {_brief(error)}"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise ValueError(f"{name} in '{folder}' lacks {len(missing)} of its weights, such as '{missing[0]}'")
    return network.eval().requires_grad_(False)


@contextmanager
def no_loading_bars() -> Iterator[None]:
    """Without diffusers' and transformers' progress bars in the block: files are read in seconds.

    For reading only, as the hub's bars, which transformers switches with its own, are to show downloads.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    libraries = (diffusers.utils.logging, transformers.utils.logging)
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def load_tokenizer(kind: Any, source: Source, subfolder: str) -> Any:
    """A tokenizer of a model, of transformers' class ``kind``. ValueError if it cannot be read."""
    try:
        return kind.from_pretrained(source.folder / subfolder, local_files_only=True)
    except Exception as error:
        raise ValueError(f"model '{source.name}': {subfolder} cannot be read: {_brief(error)}") from error


def load_scheduler(source: Source, subfolder: str = "scheduler") -> Any:
    """A model's scheduler, of the class that its configuration names."""
    import diffusers

    config = source.config(subfolder, "scheduler_config.json")
    kind = getattr(diffusers, str(config.get("_class_name")), None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise ValueError(f"model '{source.name}': '{config.get('_class_name')}' is no scheduler of diffusers")
    return cast(Any, kind).from_config(config)


def to_dtype(name: str) -> torch.dtype:
    """torch's type by name. ValueError for another than float32, float16, bfloat16."""
    if name not in _DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(_DTYPES)}, got '{name}'")
    return _DTYPES[name]


def _brief(error: BaseException) -> str:
    """The first sentence of an error; the libraries' run to paragraphs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].split(". ")[0].rstrip(".:") if lines else type(error).__name__
