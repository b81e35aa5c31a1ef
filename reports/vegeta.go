package reports

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// writeVegeta writes the attempts of keyed requests as vegeta encodes results in JSON, one a line. A scenario is an attack,
// and its attempts are numbered in the order in which they began, as vegeta plot requires. Besides the journal, that takes 16
// bytes of memory for each attempt of a scenario.
func writeVegeta(w io.Writer, b *journal.Book) error {
	buffer := bufio.NewWriter(w)
	encode := vegeta.NewJSONEncoder(buffer)
	for _, h := range b.Scenarios {
		name := plain(h.ID)
		for seq, a := range attemptsInOrder(h) {
			r := h.Requests.At(int(a.row))
			if err := encode(vegetaResult(b.Run.Began, name, seq, r, int(a.n))); err != nil {
				return err
			}
		}
	}
	return buffer.Flush()
}

// attemptRef refers to attempt n of the request in a row.
type attemptRef struct {
	at     time.Duration
	row, n int32
}

// attemptsInOrder returns the attempts of all keyed requests in the order in which they began.
func attemptsInOrder(h *journal.History) []attemptRef {
	count := 0
	for _, r := range journal.Packed(&h.Requests) {
		count += len(r.Common.Attempts)
	}
	all := make([]attemptRef, 0, count)
	for row, r := range h.Requests.All() {
		for n, a := range r.Attempts {
			all = append(all, attemptRef{a.At, int32(row), int32(n)}) //nolint:gosec // memory holds fewer
		}
	}
	slices.SortFunc(all, func(a, b attemptRef) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.row, b.row), cmp.Compare(a.n, b.n))
	})
	return all
}

// vegetaResult returns an attempt as a result. Vegeta knows HTTP only: an answer by another protocol that acknowledged the
// request has status 200.
func vegetaResult(began time.Time, attack string, seq int, r journal.Request, n int) *vegeta.Result {
	a := r.Attempts[n]
	method, path, ok := strings.Cut(plain(r.Route), " ")
	if !ok {
		method, path = "", method
	}
	result := &vegeta.Result{
		Attack: attack, Seq: uint64(seq), Timestamp: began.Add(a.At), Latency: a.Took, Code: uint16(a.Status), //nolint:gosec // small numbers
		Error: plain(a.Error), Method: method, URL: path,
	}
	switch {
	case a.Error != "":
	case a.Status >= http.StatusBadRequest:
		result.Error = fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
	case a.Status == 0 && r.Outcome == "acknowledged" && n == len(r.Attempts)-1:
		result.Code = http.StatusOK
	}
	return result
}

// vegetaLacks says what the results of a run do not contain, or returns "" if they contain each attempt of its load.
func vegetaLacks(b *journal.Book) string {
	sent, keyed := 0, 0
	for _, h := range b.Scenarios {
		keyed += h.Requests.Len()
		for _, s := range h.Samples {
			sent += s.Sent + s.OneWay
		}
	}
	var all []string
	switch {
	case keyed == 0:
		all = append(all, "the journal has no single requests: it has those that carry an idempotency key, and only sums of all others")
	case keyed < sent:
		all = append(all, fmt.Sprintf("%s of %s requests are missing: the journal has single requests only if they carry an idempotency key", check.Count(int64(sent-keyed)), check.Count(int64(sent))))
	}
	if reason := abortReason(b); reason != "" {
		all = append(all, reason)
	}
	return strings.Join(all, "; ")
}
