package system

import (
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Quarantine allows a scenario tagged @quarantine to fail without failing the run, until the end of a day.
type Quarantine struct {
	Scenario string // its name; for an outline, that of the outline
	Owner    string // who mends it
	Until    string // the last day, in UTC: "2026-12-10"
	Reason   string `json:",omitempty"`
}

// MostQuarantine is how far away the last day of a quarantine may be.
const MostQuarantine = 14 * 24 * time.Hour

var quarantineKeys = []string{"owner", "until", "reason"}

// Expired reports whether the last day is over.
func (q Quarantine) Expired(now time.Time) bool {
	until, err := time.Parse(time.DateOnly, q.Until)
	return err != nil || !now.Before(until.AddDate(0, 0, 1))
}

func (r *reader) quarantine(name string, v ast.Node, at source.Pos) {
	q := Quarantine{Scenario: name}
	if !r.Mapping(v, fmt.Sprintf("the quarantine of %q", name), quarantineKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "owner":
			q.Owner = strings.TrimSpace(r.Text(v))
		case "reason":
			q.Reason = r.Text(v)
		case "until":
			q.Until = r.Text(v)
			until, err := time.Parse(time.DateOnly, q.Until)
			switch {
			case err != nil:
				r.Out.Add(r.At(v), codes.BadValue.Msgf("%q is not a day", q.Until), `write the last day of the quarantine, such as "2026-12-10"`)
			case time.Until(until) > MostQuarantine:
				r.Out.Add(r.At(v), codes.BadValue.Msgf("the quarantine of %q lasts until %s, and 14 days are the most", name, q.Until), "name an earlier day; it can be moved if there is still a reason then")
			}
		}
	}) {
		return
	}
	if q.Owner == "" || q.Until == "" {
		r.Out.Add(at, codes.Missing.Msgf("the quarantine of %q needs an owner and a last day", name), `write {owner: NAME, until: "2026-12-10"}`)
	}
	r.sys.Quarantine = append(r.sys.Quarantine, q)
}
