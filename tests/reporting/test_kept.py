"""A fit on disk without figures: what is read back is what was kept, and wrong targets are refused."""

from __future__ import annotations

import numpy as np
import pytest

from bdsim.errors import FitError
from bdsim.reporting.figures import kept
from bdsim.study.fit import load_fit
from bdsim.study.layout import Study
from bdsim.study.parameters import load_parameters

pytestmark = pytest.mark.one_python


def test_a_fit_is_read_back_as_it_was_kept(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of the posterior at every fact, worked out anew from few draws, lie near those in its table."""
    monkeypatch.setattr(kept, "MOST_DRAWS", 8)
    found = kept.read_back(study, "default")
    fit = load_fit(study, "default", load_parameters(study.parameters))
    assert found.fingerprint == fit.manifest["fingerprint"]
    assert found.posterior.draws.tolist() == fit.draws.head(8).to_numpy().tolist()
    yearly = found.targets["target"].str.startswith("departures to China by field").to_numpy()
    ratio = np.median(found.posterior.shocked, axis=0)[yearly] / found.targets["median"].to_numpy()[yearly]
    assert np.abs(np.log(ratio)).max() < 0.25
    assert np.abs(np.log(ratio)).mean() < 0.06


def test_other_targets_than_those_of_the_fit_are_refused(fresh_study: Study) -> None:
    text = fresh_study.targets.read_text(encoding="utf-8")
    fresh_study.targets.write_text(text.replace('name      = "all departures"', 'name      = "every departure"'))
    with pytest.raises(FitError, match="was fitted to other targets than those in use"):
        kept.read_back(fresh_study, "default")
