"""The files of a study, read and checked: scenarios, parameters, evidence, fits."""

DEFAULT_HORIZON = 2035  # the last year of runs, where no other is asked for
