"""The real servers of the tests. `procs` knows processes, `cache` what is fetched, `servers` each server, `supervisor` their lives."""
