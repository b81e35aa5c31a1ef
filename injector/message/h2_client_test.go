package message

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// What net/http's client returns for each fault with each ending, and how often its server did the work.
func TestH2NetHTTPWithEachFault(t *testing.T) {
	const lost, late = "an error", "a time-out"
	for _, row := range []struct {
		rule     Rule
		want     string // "N" stands for the number of the execution
		executed int64
		stage    evidence.Stage
	}{
		{Rule{Action: LoseRequest, EndWith: EndReset}, lost, 0, evidence.Applied},
		{Rule{Action: LoseRequest, EndWith: EndClosed}, lost, 0, evidence.Applied},
		{Rule{Action: LoseRequest, EndWith: EndSilence}, late, 0, evidence.Applied},
		{Rule{Action: LoseRequest, EndWith: EndHeld}, "200 N /charge", 1, evidence.Released},
		{Rule{Action: LoseReply, EndWith: EndReset}, lost, 1, evidence.Applied},
		{Rule{Action: LoseReply, EndWith: EndClosed}, lost, 1, evidence.Applied},
		{Rule{Action: LoseReply, EndWith: EndSilence}, late, 1, evidence.Applied},
		{Rule{Action: LoseReply, EndWith: EndHeld}, "200 N /charge", 1, evidence.Released},
		{Rule{Action: Answer, Status: 503}, "503 N injected\n", 0, evidence.Applied},
		{Rule{Action: Answer, Status: 204}, "204 ", 0, evidence.Applied},
		{Rule{Action: Delay, By: quiet}, "200 N /charge", 1, evidence.Applied},
		{Rule{Action: Twice}, "200 N /charge", 2, evidence.Discarded},
		{Rule{Action: Twice, Second: true}, "200 N /charge", 2, evidence.Discarded},
		{Rule{Action: Twice, Late: quiet}, "200 N /charge", 2, evidence.Discarded},
		{Rule{Action: Reorder, Wait: quiet}, "200 N /charge", 1, evidence.Expired},
		{Rule{Action: Corrupt}, "200 N /charge", 1, evidence.Applied},
		{Rule{Action: Truncate}, "200 N /charge", 1, evidence.Applied},
	} {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprint(row.rule.Action, row.rule.EndWith, row.rule.Second, row.rule.Late, row.rule.Status, " used=", used), func(t *testing.T) {
				s := startShop(t)
				f := openLink(t, s.addr, Config{})
				client := h2client(t)
				post := func(path string) string {
					res, err := client.Post("http://"+f.addr+path, "", strings.NewReader("10 EUR"))
					var timeout interface{ Timeout() bool }
					if err != nil {
						return map[bool]string{true: late, false: lost}[errors.As(err, &timeout) && timeout.Timeout()]
					}
					defer res.Body.Close()
					assert.Equal(t, 2, res.ProtoMajor)
					body, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					_, rest, _ := strings.Cut(string(body), " ")
					return strings.TrimSuffix(fmt.Sprint(res.StatusCode, " N ", rest), "N ")
				}
				warm := int64(0)
				if used {
					warm = 1
					require.Equal(t, "200 N /warm", post("/warm"))
				}
				count, heal := f.addRule(t, withMatch(row.rule))
				if row.want == late {
					client.Timeout = 3 * quiet
				}
				got := make(chan string, 1)
				go func() { got <- post("/charge") }()
				if row.stage == evidence.Released {
					waitUntil(t, "it is held", func() bool { return len(f.recorded(evidence.Held)) == 1 })
					heal()
				}
				assert.Equal(t, row.want, <-got)
				f.checkAccounts(t)
				waitUntil(t, "it is executed", func() bool { return s.done.Load() == warm+row.executed })
				assert.Len(t, f.recorded(row.stage), 1)
				affected := int64(1)
				if row.rule.Action == Reorder { // there was no other message to pass it
					affected = 0
				}
				assert.Equal(t, []int64{1, affected}, []int64{count.Tally().Seen, count.Tally().Affected})
				heal()
				client.Timeout = patience
				assert.Equal(t, "200 N /after", post("/after"), "the client recovers")
			})
		}
	}
}
