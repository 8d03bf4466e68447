# The crash matrix and its kin on the real servers. The programs are built with failpoints, in build/failpoints/bin.
FAILPOINT_PROGRAMS := build/failpoints/bin/quanta build/failpoints/bin/quanta-coordinator build/failpoints/bin/quanta-worker

.PHONY: failpoint-programs test-crash test-crash-steps
failpoint-programs:
	@$(MAKE) --no-print-directory -j2 VARIANT=failpoints $(FAILPOINT_PROGRAMS)

test-crash: failpoint-programs ## the crash matrix: each protocol step, each process and server killed there (ONLY=word)
	@tests/crash/matrix $(addprefix --only ,$(ONLY))

test-crash-steps: failpoint-programs ## each step of the matrix once
	@tests/crash/matrix --each-step
