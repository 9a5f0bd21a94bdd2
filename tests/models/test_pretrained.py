"""What is asked of the hub, and what is printed while files are read."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import transformers.utils.logging as bars
from huggingface_hub.utils import are_progress_bars_disabled
from tiny import tiny_stable_diffusion
from tiny_images import tiny_if

from syncsde3d.models.deepfloyd import PixelDiffusion
from syncsde3d.models.images import load_image_model
from syncsde3d.models.pretrained import no_loading_bars
from syncsde3d.models.stable_diffusion_3 import StableDiffusion3

#: Files of the published repositories.
IF = ("unet/diffusion_pytorch_model.safetensors", "unet/config.json", "image_noising_scheduler/x.json")
IF_TEXT = ("text_encoder/model-00001-of-00002.safetensors", "tokenizer/spiece.model", "model_index.json")
NEVER = ("text_encoder/pytorch_model-00001-of-00002.bin", "safety_checker/model.safetensors", "README.md")


class TestWhatIsDownloaded:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        calls: list[list[str]] = []

        def refuse(repo: str, **options: Any) -> str:
            calls.append(options["allow_patterns"])
            raise OSError("offline")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        return calls

    def wants(self, patterns: list[str], file: str) -> bool:
        return any(fnmatch(file, pattern) for pattern in patterns)

    @pytest.mark.parametrize("shares_text", [False, True])
    def test_only_safetensors_of_the_parts_at_work(
        self, asked: list[list[str]], tmp_path: Path, shares_text: bool
    ):
        text = PixelDiffusion.from_pretrained(str(tiny_if(tmp_path))).text if shares_text else None
        with pytest.raises(ValueError, match="'some/one' was not found: .*offline"):
            PixelDiffusion.from_pretrained("some/one", text=text)
        wanted = {file for file in (*IF, *IF_TEXT, *NEVER) if self.wants(asked[0], file)}
        assert wanted == {*IF, "model_index.json", *(() if shares_text else IF_TEXT)}

    @pytest.mark.parametrize("low_memory", [False, True])
    def test_t5_only_where_it_is_used(self, asked: list[list[str]], low_memory: bool):
        with pytest.raises(ValueError, match="offline"):
            StableDiffusion3.from_pretrained("some/one", low_memory=low_memory)
        assert self.wants(asked[0], "text_encoder_2/model.safetensors")
        assert self.wants(asked[0], "text_encoder_3/model.safetensors") is not low_memory


class TestBars:
    def test_none_is_shown_while_weights_are_read(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        folder = tiny_stable_diffusion(tmp_path)
        capsys.readouterr()
        load_image_model(str(folder))
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("shown", [True, False])
    def test_they_are_as_before_afterwards_also_the_hubs(self, shown: bool):
        (bars.enable_progress_bar if shown else bars.disable_progress_bar)()
        try:
            with pytest.raises(KeyError, match="False"), no_loading_bars():
                raise KeyError(bars.is_progress_bar_enabled())
            assert bars.is_progress_bar_enabled() is shown
            assert are_progress_bars_disabled() is not shown
        finally:
            bars.enable_progress_bar()
