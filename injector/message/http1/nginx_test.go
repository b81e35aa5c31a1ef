package http1

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// nginx and net/http, in HTTP/1.1 and in HTTP/2 with prior knowledge: without a rule the page is unchanged, and
// under each fault the work is done exactly as often as it should be, whatever the client gets.
func TestNginxAndItsUsualClient(t *testing.T) {
	for listens, setup := range map[string]func(*http.Protocols){
		"":      func(p *http.Protocols) { p.SetHTTP1(true) },
		"http2": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run("listens "+listens, func(t *testing.T) {
			addr, page, worked := relaytest.NginxServer(t, listens)
			f := relaytest.OpenLink(t, addr, message.Config{})
			transport := &http.Transport{Protocols: &http.Protocols{}}
			setup(transport.Protocols)
			defer transport.CloseIdleConnections()
			ask := func(within time.Duration, method, path string) (string, error) {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, method, "http://"+f.Addr+path, io.NopCloser(strings.NewReader("")))
				require.NoError(t, err)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				return resp.Status[:3] + " " + string(body), err
			}
			got, err := ask(relaytest.Patience, http.MethodGet, "/page")
			require.NoError(t, err)
			require.Equal(t, "200 "+string(page), got)

			total := 0
			for _, c := range []struct {
				name   string
				rule   message.Rule
				within time.Duration
				reply  string // "" means an error
				works  int
			}{
				{"no rule", message.Rule{}, relaytest.Patience, "200 done", 1},
				{"request lost, reset", message.Rule{Action: message.LoseRequest, EndWith: message.EndReset}, relaytest.Patience, "", 0},
				{"request lost, closed", message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, relaytest.Patience, "", 0},
				{"request lost, silence", message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, time.Second, "", 0},
				{"request held", message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld}, time.Second, "", 1}, // on healing
				{"reply lost, reset", message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, relaytest.Patience, "", 1},
				{"reply lost, closed", message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, relaytest.Patience, "", 1},
				{"reply lost, silence", message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, time.Second, "", 1},
				{"reply held", message.Rule{Action: message.LoseReply, EndWith: message.EndHeld}, time.Second, "", 1},
				{"answered", message.Rule{Action: message.Answer, Status: 503}, relaytest.Patience, "503 ", 0},
				{"twice", message.Rule{Action: message.Twice}, relaytest.Patience, "200 done", 2},
				{"twice, second answer", message.Rule{Action: message.Twice, Second: true}, relaytest.Patience, "200 done", 2},
				{"late copy", message.Rule{Action: message.Twice, Late: time.Hour}, relaytest.Patience, "200 done", 2}, // healing sends it
				{"delayed", message.Rule{Action: message.Delay, By: 50 * time.Millisecond}, relaytest.Patience, "200 done", 1},
				{"alone, and so a delay", message.Rule{Action: message.Reorder, Wait: 50 * time.Millisecond}, relaytest.Patience, "200 done", 1},
			} {
				t.Run(c.name, func(t *testing.T) {
					works := func(n int) { // nginx logs after it has answered
						t.Helper()
						total += n
						relaytest.WaitUntil(t, "the work is written down", func() bool { return worked() >= total })
						require.Equal(t, total, worked())
					}
					_, err := ask(relaytest.Patience, http.MethodPost, "/work") // so that the connection is reused
					require.NoError(t, err)
					works(1)
					heal := func() {}
					count := evidence.NewCounter("calls")
					if c.rule.Action != "" {
						c.rule.Match = message.Match{Method: http.MethodPost, Path: "/work"}
						c.rule.First = 1
						count, heal = f.AddRule(t, c.rule)
					}
					began := time.Now()
					reply, err := ask(c.within, http.MethodPost, "/work")
					if c.reply == "" {
						require.Error(t, err)
					} else {
						require.NoError(t, err)
						require.True(t, strings.HasPrefix(reply, c.reply), reply)
						require.GreaterOrEqual(t, time.Since(began), max(c.rule.By, c.rule.Wait))
					}
					transport.CloseIdleConnections() // a held answer is useless to a client that has disconnected
					heal()
					f.CheckAccounts(t)
					if c.rule.Action != "" && c.rule.Action != message.Reorder {
						require.EqualValues(t, 1, count.Tally().Affected)
					}
					_, err = ask(relaytest.Patience, http.MethodPost, "/work")
					require.NoError(t, err)
					works(c.works + 1)
				})
			}
		})
	}
}
