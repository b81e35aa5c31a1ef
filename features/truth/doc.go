// Package truth holds the truth suite: drills of small systems with an indisputable verdict, and the
// verdict that Firedrill must reach.
//
// There are two kinds of rows. A vacuous drill proves nothing about any system: it must never pass, and
// the reason must name the cause. The other drills are of systems that are right or wrong in a way that
// is easy to misjudge: the verdict must be the true one and, if it is "failed", the failed check must be
// the one about the mistake. Each row states the outcome, a pattern for the reason, and why the outcome is
// the true one.
//
// The tests build the program, write a feature and a system file for each row, run the program as users
// do, and read the journal. Most services are processes of the program in folder service. A row also
// fails if a process of its system outlives the run.
//
//	go test ./features/truth          # some of the rows
//	go test ./features/truth -full    # all rows
//
// make figures, make false-alarms and make goals run rows several times (-times) and under other conditions (-under),
// and print how often each was judged right.
package truth
