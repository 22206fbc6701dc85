"""Questions asked of runs: compared, explained, followed life by life."""
