package check

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// unexpected names the most frequent answer below status 400 that is not expected, such as the 303 of a form, and
// the step that makes it count as success. It returns "" if there is none.
func unexpected(h *journal.History) string {
	answers := map[string]map[int]int{} // by route and status
	for _, s := range h.Samples {
		for kind, n := range s.Errors {
			if status, ok := unexpectedStatus(kind); ok {
				if answers[s.Route] == nil {
					answers[s.Route] = map[int]int{}
				}
				answers[s.Route][status] += n
			}
		}
	}
	route, status, most := "", 0, 0
	for _, r := range slices.Sorted(maps.Keys(answers)) {
		for _, code := range slices.Sorted(maps.Keys(answers[r])) {
			if n := answers[r][code]; n > most {
				route, status, most = r, code, n
			}
		}
	}
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("; answers with status %d do not count as success: if they are expected, add the step: %q answers %d", status, route, status)
}

// unexpectedStatus returns the status in the name of an error, if it is below 400: an answer that is not an
// expected one.
func unexpectedStatus(kind string) (int, bool) {
	text, ok := strings.CutPrefix(kind, "status ")
	status, err := strconv.Atoi(text)
	return status, ok && err == nil && status < 400
}
