package message

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// nginxServer starts nginx with a page and an endpoint that logs the work it does. listens is added to its
// listen directive.
func nginxServer(t *testing.T, listens string) (addr string, page []byte, worked func() int) {
	dir := t.TempDir()
	page = bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page"), page, 0o600))
	user := ""
	if os.Geteuid() == 0 {
		user = "user root; "
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += kind + "_temp_path " + dir + "/" + kind + "; "
	}
	// the port is known only when the command starts
	addr = server(t, "sh", "-c", `printf %s "$2" > "$1/conf" && exec "$0" -e stderr -p "$1" -c "$1/conf"`, program(t, "nginx", "nginx-light"), dir, user+"daemon off; pid "+dir+"/pid; events {} http { "+temp+
		"access_log off; keepalive_requests 100000; server { listen 127.0.0.1:{port} "+listens+"; root "+dir+"; location /work { access_log "+dir+"/work; return 200 done; } } }")
	return addr, page, func() int {
		raw, err := os.ReadFile(filepath.Join(dir, "work"))
		require.NoError(t, err)
		return bytes.Count(raw, []byte("\n"))
	}
}

// nginx and net/http, in HTTP/1.1 and in HTTP/2 with prior knowledge: without a rule the page is unchanged, and
// under each fault the work is done exactly as often as it should be, whatever the client gets.
func TestNginxAndItsUsualClient(t *testing.T) {
	for listens, setup := range map[string]func(*http.Protocols){
		"":      func(p *http.Protocols) { p.SetHTTP1(true) },
		"http2": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run("listens "+listens, func(t *testing.T) {
			addr, page, worked := nginxServer(t, listens)
			f := openLink(t, addr, Config{})
			transport := &http.Transport{Protocols: &http.Protocols{}}
			setup(transport.Protocols)
			defer transport.CloseIdleConnections()
			ask := func(within time.Duration, method, path string) (string, error) {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, method, "http://"+f.addr+path, io.NopCloser(strings.NewReader("")))
				require.NoError(t, err)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				return resp.Status[:3] + " " + string(body), err
			}
			got, err := ask(patience, http.MethodGet, "/page")
			require.NoError(t, err)
			require.Equal(t, "200 "+string(page), got)

			total := 0
			for _, c := range []struct {
				name   string
				rule   Rule
				within time.Duration
				reply  string // "" means an error
				works  int
			}{
				{"no rule", Rule{}, patience, "200 done", 1},
				{"request lost, reset", Rule{Action: LoseRequest, EndWith: EndReset}, patience, "", 0},
				{"request lost, closed", Rule{Action: LoseRequest, EndWith: EndClosed}, patience, "", 0},
				{"request lost, silence", Rule{Action: LoseRequest, EndWith: EndSilence}, 300 * time.Millisecond, "", 0},
				{"request held", Rule{Action: LoseRequest, EndWith: EndHeld}, 300 * time.Millisecond, "", 1}, // on healing
				{"reply lost, reset", Rule{Action: LoseReply, EndWith: EndReset}, patience, "", 1},
				{"reply lost, closed", Rule{Action: LoseReply, EndWith: EndClosed}, patience, "", 1},
				{"reply lost, silence", Rule{Action: LoseReply, EndWith: EndSilence}, 300 * time.Millisecond, "", 1},
				{"reply held", Rule{Action: LoseReply, EndWith: EndHeld}, 300 * time.Millisecond, "", 1},
				{"answered", Rule{Action: Answer, Status: 503}, patience, "503 ", 0},
				{"twice", Rule{Action: Twice}, patience, "200 done", 2},
				{"twice, second answer", Rule{Action: Twice, Second: true}, patience, "200 done", 2},
				{"late copy", Rule{Action: Twice, Late: time.Hour}, patience, "200 done", 2}, // healing sends it
				{"delayed", Rule{Action: Delay, By: 50 * time.Millisecond}, patience, "200 done", 1},
				{"alone, and so a delay", Rule{Action: Reorder, Wait: 50 * time.Millisecond}, patience, "200 done", 1},
			} {
				t.Run(c.name, func(t *testing.T) {
					works := func(n int) { // nginx logs after it has answered
						t.Helper()
						total += n
						waitUntil(t, "the work is written down", func() bool { return worked() >= total })
						require.Equal(t, total, worked())
					}
					_, err := ask(patience, http.MethodPost, "/work") // so that the connection is reused
					require.NoError(t, err)
					works(1)
					heal := func() {}
					count := evidence.NewCounter("calls")
					if c.rule.Action != "" {
						c.rule.Match = Match{Method: http.MethodPost, Path: "/work"}
						c.rule.First = 1
						count, heal = f.addRule(t, c.rule)
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
					f.checkAccounts(t)
					if c.rule.Action != "" && c.rule.Action != Reorder {
						require.EqualValues(t, 1, count.Tally().Affected)
					}
					_, err = ask(patience, http.MethodPost, "/work")
					require.NoError(t, err)
					works(c.works + 1)
				})
			}
		})
	}
}
