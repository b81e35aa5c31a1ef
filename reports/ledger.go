package reports

import (
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxAnomalies limits the size of the page; the journal has all anomalies.
const maxAnomalies = 100

// ledger is the section of the page on keyed requests and their effects.
type ledger struct {
	*check.Ledger
	Keys int
	Read *journal.Effects // nil if effects were not read
	More int              // anomalies beyond the first maxAnomalies
	All  int              // anomalies

	Lanes []lane // of the smallest anomalies
}

// newLedgers returns nil if no request had a key.
func newLedgers(h *journal.History) []*ledger {
	if h.Requests.Len() == 0 {
		return nil
	}
	var all []*ledger
	for _, one := range h.BySource() {
		l := &ledger{Ledger: check.NewLedger(one), Keys: h.Requests.Len(), Read: one.EffectsRead}
		l.All, l.Lanes = len(l.Anomalies), newLanes(one, l.Anomalies)
		if n := len(l.Anomalies); n > maxAnomalies {
			l.Anomalies, l.More = l.Anomalies[:maxAnomalies], n-maxAnomalies
		}
		all = append(all, l)
	}
	return all
}
