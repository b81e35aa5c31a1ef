// Package features is the catalogue: drills in plain English that run against the demo shop (shop/), embedded so that the program carries them.
//
// Each row holds against the shop as built, and is caught when the one protection that it is about is taken out; the tests run both, and ask which
// check it was that failed. The features in real/ need a real server installed and are tagged @real.
package features

import "embed"

// FS holds the feature files and the system files that they name.
//
//go:embed *.feature shop/system.yaml real
var FS embed.FS

// Row is a claim of the catalogue, and what shows that the drill behind it can fail.
type Row struct {
	N        string // number in the catalogue, "1"; "real" for what runs against a real server beside it
	Claim    string
	File     string   // feature file in FS
	Without  string   // the protection without which it must fail
	CaughtBy []string // the checks that must fail then, as the feature states them; all others may not
}

// Rows lists all, in the catalogue's order.
func Rows() []Row {
	return []Row{
		{
			N: "1", File: "isolation.feature", Without: "isolation",
			Claim:    "one comments service that grinds to a halt must not slow the pages that do not need it",
			CaughtBy: []string{`"GET /article/1" is not affected by the fault`},
		},
		{
			N: "2", File: "degradation.feature", Without: "fallbacks",
			Claim: "a front page composed from content, comments, ads and stats survives the crash of any optional part",
			CaughtBy: []string{
				`at least 99% of requests succeed during the fault`,
				`at least 90% of "GET /" responses are fallbacks, marked by header "X-Degraded: true" during the fault`,
			},
		},
		{
			N: "6", File: "retransmits.feature", Without: "adaptive timeout",
			Claim:    "measured response times set the time-out, so that a late answer is not asked for twice",
			CaughtBy: []string{`"payments" receives at most 1.25 times its normal calls during the fault`},
		},
		{
			N: "7", File: "idempotency.feature", Without: "idempotency keys",
			Claim: "what is sent again after a lost acknowledgement is recognised and done once",
			CaughtBy: []string{
				`every acknowledged request is applied exactly once`,
				`requests repeated with the same key get the same response`,
				`a key reused with a different body is refused with status 422`,
			},
		},
		{
			N: "real", File: "real/page-cache.feature", Without: "cache bypass",
			Claim:    "pages come without their cache, a real redis-server that falls silent, is killed, and comes back",
			CaughtBy: []string{`at least 99% of requests succeed during the fault`},
		},
	}
}
