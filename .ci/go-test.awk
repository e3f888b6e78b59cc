# Shows one line for each package that passes and everything that a failing one
# said. Fails when a test was skipped, or when a package failed.

{ held[++lines] = $0 }

# "no tests to run" and the like are notes, a test's own skip is not.
/^ *--- SKIP: / { skipped[++skips] = $3 }

/^(ok|FAIL|\?)[ \t]+[^ \t]+/ {
	if ($1 == "FAIL") {
		failed++
		for (i = 1; i <= lines; i++) print held[i]
	} else {
		print
	}
	lines = 0
	fflush()
}

END {
	for (i = 1; i <= lines; i++) print held[i]
	for (i = 1; i <= skips; i++) print "skipped: " skipped[i] " (nothing may be skipped; see dist/test.log)"
	exit failed || skips
}
