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

// What net/http says of each fault with each ending, between its own client and server, and how often the server did the work.
func TestH2HowNetHTTPMeetsEachFault(t *testing.T) {
	const lost, late = "an error", "a time-out"
	for _, row := range []struct {
		rule     Rule
		want     string // "N" is the number of the execution
		executed int64
		stage    evidence.Stage
	}{
		{Rule{Do: LoseRequest, Then: ThenReset}, lost, 0, evidence.Applied},
		{Rule{Do: LoseRequest, Then: ThenClosed}, lost, 0, evidence.Applied},
		{Rule{Do: LoseRequest, Then: ThenSilence}, late, 0, evidence.Applied},
		{Rule{Do: LoseRequest, Then: ThenHeld}, "200 N /charge", 1, evidence.Released},
		{Rule{Do: LoseReply, Then: ThenReset}, lost, 1, evidence.Applied},
		{Rule{Do: LoseReply, Then: ThenClosed}, lost, 1, evidence.Applied},
		{Rule{Do: LoseReply, Then: ThenSilence}, late, 1, evidence.Applied},
		{Rule{Do: LoseReply, Then: ThenHeld}, "200 N /charge", 1, evidence.Released},
		{Rule{Do: Answer, Status: 503}, "503 N injected\n", 0, evidence.Applied},
		{Rule{Do: Answer, Status: 204}, "204 ", 0, evidence.Applied},
		{Rule{Do: Delay, By: quiet}, "200 N /charge", 1, evidence.Applied},
		{Rule{Do: Twice}, "200 N /charge", 2, evidence.Swallowed},
		{Rule{Do: Twice, Second: true}, "200 N /charge", 2, evidence.Swallowed},
		{Rule{Do: Twice, Late: quiet}, "200 N /charge", 2, evidence.Swallowed},
		{Rule{Do: Reorder, Wait: quiet}, "200 N /charge", 1, evidence.Expired},
		{Rule{Do: Corrupt}, "200 N /charge", 1, evidence.Applied},
		{Rule{Do: Truncate}, "200 N /charge", 1, evidence.Applied},
	} {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprint(row.rule.Do, row.rule.Then, row.rule.Second, row.rule.Late, row.rule.Status, " used=", used), func(t *testing.T) {
				s := trade(t)
				f := open(t, s.addr, Config{})
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
				count, heal := f.live(t, withMatch(row.rule))
				if row.want == late {
					client.Timeout = 3 * quiet
				}
				got := make(chan string, 1)
				go func() { got <- post("/charge") }()
				if row.stage == evidence.Released {
					until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
					heal()
				}
				assert.Equal(t, row.want, <-got)
				f.balanced(t)
				until(t, "it is executed", func() bool { return s.done.Load() == warm+row.executed })
				assert.Len(t, f.seen(row.stage), 1)
				affected := int64(1)
				if row.rule.Do == Reorder { // nobody was there to pass it
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
