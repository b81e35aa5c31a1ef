package scenarios

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Digests identifies the system and the load of the experiment, apart from where the files are. The contents of
// programs and of handlers in this process are not included: they are what runs are compared for.
func (e *Experiment) Digests() journal.Digests {
	s := e.System
	s.Dir, s.File, s.Quarantine, s.Stop, s.Limits, s.Allow = "", "", nil, nil, system.Limits{}, nil
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		s.Services[i].Handler = nil
	}
	return journal.Digests{System: digest(s), Load: digest(e.Loads())}
}

// digest returns a short hash of a value.
func digest(v any) string {
	raw, err := json.Marshal(v)
	if err != nil { // only a protocol or a source of one's own can hold what JSON cannot
		raw = fmt.Appendf(nil, "%+v", v)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6])
}
