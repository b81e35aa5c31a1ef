package scenarios

import (
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// quarantineTag marks a scenario that may fail for a while; see system.Quarantine.
const quarantineTag = "@quarantine"

// finishQuarantine finds the quarantine of a scenario with the tag.
func (r *Resolver) finishQuarantine() {
	if !slices.Contains(r.Tags, quarantineTag) {
		return
	}
	i := slices.IndexFunc(r.System.Quarantine, func(q system.Quarantine) bool {
		return q.Scenario == r.Name || r.Row > 0 && strings.HasPrefix(r.Name, q.Scenario)
	})
	if i < 0 {
		r.addMissing(r.begin, codes.Missing.Message("the scenario is tagged "+quarantineTag+", and the system file does not say who mends it until when"),
			`add to the system file: quarantine: {`+strconv.Quote(r.Name)+`: {owner: NAME, until: "2026-12-10"}}`)
		return
	}
	r.Quarantine = &r.System.Quarantine[i]
}
