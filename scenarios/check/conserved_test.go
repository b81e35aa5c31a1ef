package check

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestConserved(t *testing.T) {
	for name, c := range map[string]struct {
		sum  journal.Sum
		want Outcome
		why  string
	}{
		"the same, written otherwise": {journal.Sum{Before: "1000", After: "1000.00", Moved: true}, Passed, ""},
		"nothing moved":               {journal.Sum{Before: "1000", After: "1000"}, Inconclusive, `no "balance" changed during the load`},
		"a cent is lost":              {journal.Sum{Before: "100000000000000000.10", After: "100000000000000000.09", Moved: true}, Failed, `changed by -0.01: from 100000000000000000.10`},
		"money appeared":              {journal.Sum{Before: "1000", After: "1100", Moved: true}, Failed, "changed by +100"},
		"still changing":              {journal.Sum{Before: "1000", After: "1100", Moved: true, Changing: true}, Inconclusive, "effects settle within"},
		"not read":                    {journal.Sum{Before: "1000", Error: "status 500"}, Inconclusive, "the sum over GET /accounts is not known: status 500"},
		"no number":                   {journal.Sum{Before: "1000", After: "***"}, Inconclusive, "the journal holds no numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			c.sum.Field, c.sum.Source = "balance", "GET /accounts"
			v := Ask(Conserved{SumOf{"balance", "GET /accounts"}}, &journal.History{Sums: []journal.Sum{{Field: "other", Source: "GET /accounts"}, c.sum}, Seqs: map[string][]uint64{"sum": {1, 2}}})
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
			if c.want != Inconclusive {
				require.Equal(t, []uint64{2}, v.Evidence)
			}
		})
	}
}
