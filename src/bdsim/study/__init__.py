"""The files of a study, read and checked: scenarios, parameters, evidence, fits."""
