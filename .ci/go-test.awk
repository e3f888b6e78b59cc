# Shows one line for each package that passes and everything that a failing one
# said. Fails when a test was skipped, or when a package failed.

{ held[++lines] = $0 }

# "no tests to run" and the like are notes, a test's own skip is not.
/^ *--- SKIP: / { skipped[++skips] = $3 }

/^(ok|FAIL|\?)[ \t]+[^ \t]+/ {
	if ($1 == "FAIL") {
		failed++
		show()
	} else {
		print
	}
	lines = 0
	fflush()
}

END {
	show()
	for (i = 1; i <= skips; i++) print "skipped: " skipped[i] " (nothing may be skipped; see dist/test.log)"
	exit failed || skips
}

# What passed is no news, also in a package that failed.
function show() {
	for (i = 1; i <= lines; i++) if (held[i] !~ /^=== |^ *--- PASS: /) print held[i]
}
