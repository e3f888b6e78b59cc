# Shows one line for each package that passes; of a failing one what its tests
# said, without the servers' own logs (dist/test.log has them), and once more at
# the very end, where it is found first. Fails when a test was skipped, or when
# a package failed.

{ held[++lines] = $0 }

# "no tests to run" and the like are notes, a test's own skip is not.
/^ *--- SKIP: / { skipped[++skips] = $3 }

/^ *--- FAIL: |_test\.go:[0-9]+: |^panic: |^WARNING: DATA RACE/ { said[++sayings] = substr($0, 1, 400) }

/^(ok|FAIL|\?)[ \t]+[^ \t]+/ {
	if ($1 == "FAIL") {
		failed++
		show()
		for (i = 1; i <= sayings; i++) summary[++summaries] = said[i]
		summary[++summaries] = $0
	} else {
		print
	}
	lines = sayings = 0
	fflush()
}

END {
	show()
	if (summaries) print "\nIn short:"
	for (i = 1; i <= summaries; i++) print summary[i]
	for (i = 1; i <= skips; i++) print "skipped: " skipped[i] " (nothing may be skipped; see dist/test.log)"
	exit failed || skips
}

# What passed is no news, also in a package that failed.
function show() {
	for (i = 1; i <= lines; i++)
		if (held[i] !~ /^=== |^ *--- PASS: |^ *\{"level":/) print substr(held[i], 1, 2000)
}
