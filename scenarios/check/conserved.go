package check

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Conserved passes if the sum of a field over a list, such as of the balances of accounts, is the same after the load
// as before it. It is for systems that move amounts: what one account loses, another gains. Numbers are added
// exactly, as decimals.
type Conserved struct{ SumOf }

// SumOf is a sum: of a field over the objects of a list.
type SumOf struct{ Field, Route string }

// Judge implements Check.
func (c Conserved) Judge(h *journal.History) Verdict {
	const expected = "the sum from before the load"
	for i, s := range h.Sums {
		if s.Field != c.Field || s.Source != c.Route {
			continue
		}
		before, ok := new(big.Rat).SetString(s.Before)
		after, okAfter := new(big.Rat).SetString(s.After)
		v := Verdict{Observed: fmt.Sprintf("%s before and %s after the load, over %s and %s items", s.Before, s.After, Count(s.ItemsBefore), Count(s.ItemsAfter)),
			Expected: expected, Evidence: seq(h, "sum", i)}
		switch {
		case s.Error != "":
			return inconclusive(expected, "", codes.EffectsUnknown, "the sum over %s is not known: %s", s.Source, s.Error)
		case !ok || !okAfter:
			return inconclusive(expected, "", codes.EffectsUnknown, "the journal holds no numbers: %q and %q", s.Before, s.After)
		case before.Cmp(after) != 0 && s.Changing:
			v.Doubt = codes.EffectsUnknown.Msgf("values still changed at the last reading: add `effects settle within 30s`, or the longest time they may take")
		case before.Cmp(after) != 0:
			return verdict(false, v, "the sum of %q changed by %s: from %s to %s", s.Field, exact(new(big.Rat).Sub(after, before)), s.Before, s.After)
		case !s.Moved:
			v.Doubt = codes.NotExercised.Msgf("no %q changed during the load, so that nothing could have been lost: let the load move amounts between the items", s.Field)
		default:
			v.Outcome = Passed
		}
		return v
	}
	return inconclusive(expected, "", codes.Unfinished, "no sum was read")
}

// exact formats a decimal number with its sign.
func exact(r *big.Rat) string {
	digits, _ := r.FloatPrec()
	text := r.FloatString(digits)
	if r.Sign() > 0 {
		text = "+" + text
	}
	return text
}

func (c Conserved) String() string {
	return fmt.Sprintf("the sum of %q over %q stays the same", c.Field, c.Route)
}

// Kind implements Check.
func (c Conserved) Kind() Kind {
	return Kind{Name: "conserved", About: AboutEffects, Means: "a sum, such as of all balances, is the same after the load as before it; inconclusive where no value changed", Invariant: true, Refusing: true,
		CannotFail: func(d Drill) string {
			if d.Reads {
				return "all requests of the load only read, so that nothing can get lost; add requests that change it"
			}
			return ""
		},
		Needs: Needs{Load: true, Sum: c.SumOf},
		Sentences: []Sentence{{
			Pattern: `the sum of {text} over {route} stays the same`,
			Means: "before the load and after healing: a JSON array of objects, or an object with one array in it; the field of each is a number, or a string with one, and they are added exactly; " +
				"the sum is read until it is the same, or until effects have had their time to settle",
			Examples: []string{`the sum of "balance" over "GET /accounts" stays the same`},
			Check: func(a Args) Check {
				field := strings.Trim(a.Value(0), `"`)
				if field == "" {
					a.Problem(0, codes.BadName.Msgf("the name of a field is empty"), `write the field of each object in the list: "balance"`)
				}
				return Conserved{SumOf{Field: field, Route: a.Route(1)}}
			},
		}}}
}
