package http2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// What net/http's client returns for each fault with each ending, and how often its server did the work.
func TestH2NetHTTPWithEachFault(t *testing.T) {
	const lost, late = "an error", "nothing"
	for _, row := range []struct {
		rule     message.Rule
		want     string // "N" stands for the number of the execution
		executed int64
		stage    evidence.Stage
	}{
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndReset}, lost, 0, evidence.Applied},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, lost, 0, evidence.Applied},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, late, 0, evidence.Applied},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld}, "200 N /charge", 1, evidence.Released},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, lost, 1, evidence.Applied},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, lost, 1, evidence.Applied},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, late, 1, evidence.Applied},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndHeld}, "200 N /charge", 1, evidence.Released},
		{message.Rule{Action: message.Answer, Status: 503}, "503 N injected\n", 0, evidence.Applied},
		{message.Rule{Action: message.Answer, Status: 204}, "204 ", 0, evidence.Applied},
		{message.Rule{Action: message.Delay, By: relaytest.Quiet}, "200 N /charge", 1, evidence.Applied},
		{message.Rule{Action: message.Twice}, "200 N /charge", 2, evidence.Discarded},
		{message.Rule{Action: message.Twice, Second: true}, "200 N /charge", 2, evidence.Discarded},
		{message.Rule{Action: message.Twice, Late: relaytest.Quiet}, "200 N /charge", 2, evidence.Discarded},
		{message.Rule{Action: message.Reorder, Wait: relaytest.Quiet}, "200 N /charge", 1, evidence.Expired},
		{message.Rule{Action: message.Corrupt}, "200 N /charge", 1, evidence.Applied},
		{message.Rule{Action: message.Truncate}, "200 N /charge", 1, evidence.Applied},
	} {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprint(row.rule.Action, row.rule.EndWith, row.rule.Second, row.rule.Late, row.rule.Status, " used=", used), func(t *testing.T) {
				s := relaytest.StartShop(t)
				f := relaytest.OpenLink(t, s.Addr, message.Config{})
				client := relaytest.HTTP2Client(t)
				ctx, giveUp := context.WithCancel(t.Context())
				defer giveUp()
				post := func(ctx context.Context, path string) string {
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.Addr+path, strings.NewReader("10 EUR"))
					require.NoError(t, err)
					res, err := client.Do(req)
					if err != nil {
						return map[bool]string{true: late, false: lost}[errors.Is(err, context.Canceled)]
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
					require.Equal(t, "200 N /warm", post(t.Context(), "/warm"))
				}
				count, heal := f.AddRule(t, relaytest.WithMatch(row.rule))
				got := make(chan string, 1)
				go func() { got <- post(ctx, "/charge") }()
				if row.want == late {
					relaytest.WaitUntil(t, "it is lost", func() bool { return len(f.Recorded(evidence.Applied)) == 1 })
					select {
					case answer := <-got:
						require.FailNow(t, "an answer to a lost message", answer)
					case <-time.After(relaytest.Quiet):
						giveUp()
					}
				}
				if row.stage == evidence.Released {
					relaytest.WaitUntil(t, "it is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
					heal()
				}
				assert.Equal(t, row.want, <-got)
				f.CheckAccounts(t)
				relaytest.WaitUntil(t, "it is executed", func() bool { return s.Done.Load() == warm+row.executed })
				assert.Len(t, f.Recorded(row.stage), 1)
				affected := int64(1)
				if row.rule.Action == message.Reorder { // there was no other message to pass it
					affected = 0
				}
				assert.Equal(t, []int64{1, affected}, []int64{count.Tally().Seen, count.Tally().Affected})
				heal()
				assert.Equal(t, "200 N /after", post(t.Context(), "/after"), "the client recovers")
			})
		}
	}
}

// An absolute redirect leads a client around the link, and is reported.
func TestH2RedirectsAreReported(t *testing.T) {
	addr := relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.URL.Query().Get("to")+"/", http.StatusTemporaryRedirect)
	}))
	told := make(chan string, 2)
	f := relaytest.OpenLink(t, addr, message.Config{Told: func(text []byte, _ string) { told <- string(text) }})
	client := relaytest.HTTP2Client(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, to := range []string{"", "payments.internal:8081"} { // the first one is relative
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.Addr+"/?to="+to, nil)
		require.NoError(t, err)
		res, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, 2, res.ProtoMajor)
	}
	require.Len(t, told, 1)
	assert.Equal(t, "payments.internal:8081", <-told)
}
