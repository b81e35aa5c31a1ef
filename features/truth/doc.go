// Package truth holds the truth suite: drills of small systems whose right verdict cannot be disputed, and what Firedrill has to say of each.
//
// There are two kinds of rows. A vacuous set-up proves nothing whatever the system is like: it must never pass, and the reason must name the cause.
// A system is right or wrong in a way that is easy to misjudge: the verdict must be the true one, and where it is failed, the check must be the one that
// is about the mistake. Each row states its outcome, a pattern that the reason has to match, and in one sentence why that is the truth.
//
// The tests build the program, write a feature and a system file for each row, run it as its users do, and read the journal. The services are processes
// of the test binary itself. A row also fails when a process of its system is still there after the run.
//
//	go test ./features/truth          # a part that fits into five minutes
//	go test ./features/truth -full    # all of it
package truth
