"""What fuzzing once found, and what reaches the corners of the loaders: one line or an answer, within a second."""

from __future__ import annotations

import hashlib

import pytest

from fuzz_targets import CORPUS, FILES, Fuzzed

pytestmark = pytest.mark.one_python


@pytest.mark.parametrize("loader", FILES)
def test_every_kept_input_gets_one_line_or_an_answer(tmp_path, loader):
    fuzzed = Fuzzed(tmp_path, loader)
    kept = sorted((CORPUS / loader).iterdir())
    assert kept
    for path in kept:
        try:
            fuzzed.said(path.read_bytes())
        except Exception as error:
            error.add_note(f"fuzz/corpus/{loader}/{path.name}")
            raise


@pytest.mark.parametrize("loader", FILES)
def test_kept_inputs_are_few_and_small_and_bear_the_name_of_their_content(loader):
    contents = {path.name: path.read_bytes() for path in (CORPUS / loader).iterdir()}
    assert len(contents) <= 40 and all(len(content) <= 4000 for content in contents.values())
    assert all(name == hashlib.sha256(content).hexdigest()[:16] for name, content in contents.items())


@pytest.mark.parametrize("loader", FILES)
def test_what_ships_is_fine_and_what_is_spoilt_is_mended(tmp_path, loader):
    """Else the corpus would be asked of nothing."""
    fuzzed = Fuzzed(tmp_path, loader)
    shipped = fuzzed.whole[fuzzed.path.name.encode()]
    assert fuzzed.said(b"x = [") != ""
    if shipped:
        assert fuzzed.said(shipped) == ""
    assert fuzzed.path.read_bytes() == shipped


def test_an_input_can_spoil_another_file_of_the_folder(tmp_path):
    fuzzed = Fuzzed(tmp_path, "fit")
    assert "draws.csv: cannot be read: it is not UTF-8" in fuzzed.said(b"=== draws.csv\n\xff")
    assert fuzzed.said(b"=== nowhere.csv\nx") == ""
