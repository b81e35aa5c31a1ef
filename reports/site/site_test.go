package site_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/reports/site"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

const hostile = `<script>document.title="taken"</script>`

// record runs two drills, one of them with a hostile name, and returns the ID of the run. It runs them again if this
// machine was too busy to judge both.
func record(t *testing.T, dir string, broken bool) (id string) {
	t.Helper()
	var asked atomic.Int64
	service := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken && asked.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	var es []*scenarios.Experiment
	for _, name := range []string{"pages come late", hostile} {
		e, err := scenarios.New(name).
			System(scenarios.System{
				Services: []scenarios.Service{{Name: "pages", Handler: service, Serves: []string{"/"}}},
				Links:    []scenarios.Link{{From: "clients", To: "pages", Protocol: "http"}},
			}).
			Load(scenarios.Load{Shape: scenarios.Counted, Mix: []scenarios.Route{{Method: "GET", Path: "/page", Share: 1}}}).
			Inject("clients", "pages", injector.SlowCalls{By: 5 * time.Millisecond}).
			Send(40, 4).
			Check(check.Success{Ratio: 0.99}).
			Build()
		require.NoError(t, err)
		e.Tags = []string{map[bool]string{false: "@by-day", true: "@by-night"}[broken]}
		es = append(es, e)
	}
	for range 5 {
		result, err := runner.RunExperiments(context.Background(), runner.Options{Dir: t.TempDir(), Seed: 7}, es...)
		require.NoError(t, err)
		if want := map[bool]string{false: "passed", true: "failed"}[broken]; result.Book.Scenarios[0].End.Outcome == want && result.Book.Scenarios[1].End.Outcome == want {
			id := filepath.Base(result.Dir)
			require.NoError(t, os.Rename(result.Dir, filepath.Join(dir, id)))
			return id
		}
	}
	t.Fatal("this machine was too busy")
	return ""
}

// get returns the status and the body of a page.
func get(t *testing.T, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// browse returns what a browser makes of a page, and what its console says.
func browse(t *testing.T, url string) (page, console string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	machine.Need(t, err, "make install-tools")
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--dump-dom", url)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	require.NoError(t, err, errors.String())
	for line := range strings.Lines(errors.String()) {
		if strings.Contains(line, "CONSOLE") {
			console += line
		}
	}
	return string(out), console
}

func TestPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before, now := record(t, dir, false), record(t, dir, true)
	server := httptest.NewServer(site.Handler(dir))
	t.Cleanup(server.Close)

	for name, c := range map[string]struct {
		path         string
		holds, lacks []string
		browser      bool
	}{
		"list":           {"/", []string{before, now, "2 failed", "2 passed", "/runs/" + now + "/report.html"}, nil, true},
		"by outcome":     {"/?outcome=failed", []string{now}, []string{before}, false},
		"by a scenario":  {"/?text=COME+late", []string{before, now}, nil, false},
		"by a tag":       {"/?text=%40BY-NIGHT", []string{now}, []string{before}, false},
		"no such run":    {"/?text=nothing", []string{"No run is like that"}, []string{before, now}, false},
		"trend":          {"/trend", []string{"pages come late", "passed in " + before, "failed in " + now}, nil, true},
		"no such trend":  {"/trend?text=nothing", []string{"No scenario is like that"}, []string{"pages come late"}, false},
		"comparison":     {"/compare?before=" + before + "&now=" + now, []string{"new failure", "at least 99% of requests succeed", "too few runs"}, nil, true},
		"no comparison":  {"/compare?before=" + before, []string{"Choose two runs"}, nil, false},
		"files of a run": {"/runs/" + now + "/", []string{"journal.ndjson", "report.html"}, nil, false},
		"report":         {"/runs/" + now + "/report.html", []string{"FAILED"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, page := get(t, server.URL+c.path, "localhost")
			if c.browser {
				var console string
				page, console = browse(t, server.URL+c.path)
				assert.NotContains(t, page, "<title>taken</title>", "a name of the journal has become a script")
				assert.Empty(t, console)
			}
			for _, text := range c.holds {
				assert.Contains(t, page, text)
			}
			for _, text := range c.lacks {
				assert.NotContains(t, page, text)
			}
		})
	}
}

func TestOnlyThisMachineMayRead(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a", "log.svg"), []byte("<svg onload=alert(1)/>"), 0o600))
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "a", "link")))
	server := httptest.NewServer(site.Handler(dir))
	defer server.Close()

	for _, host := range []string{"localhost:7411", "127.0.0.1", "[::1]:7411", "localhost"} {
		status, _ := get(t, server.URL, host)
		assert.Equal(t, http.StatusOK, status, host)
	}
	for _, host := range []string{"rebound.example", "192.0.2.1:7411", "localhost.example", "127.0.0.1.example:7411"} {
		status, page := get(t, server.URL, host)
		assert.Equal(t, http.StatusForbidden, status, host)
		assert.Contains(t, page, "only for this machine")
	}
	for _, path := range []string{"/runs/a/link", "/runs/../secret", "/runs/a/%2e%2e/%2e%2e/secret", "/runs/none/x"} {
		status, page := get(t, server.URL+path, "localhost")
		assert.Contains(t, []int{http.StatusNotFound, http.StatusBadRequest}, status, path)
		assert.NotContains(t, page, "secret</")
	}
	resp, err := http.Get(server.URL + "/runs/a/log.svg")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"), "what a system has logged is no picture with scripts")
	assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	resp, err = http.Post(server.URL+"/", "text/plain", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
}

// A run that goes on, one that was killed, and a folder that is no run.
func TestJournalsThatGrow(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewServer(site.Handler(dir))
	defer server.Close()
	_, page := get(t, server.URL, "localhost")
	assert.Contains(t, page, "There is no run")

	id := record(t, dir, false)
	journal := filepath.Join(dir, id, "journal.ndjson")
	whole, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(journal, whole[:len(whole)/2], 0o600))
	require.NoError(t, os.Remove(filepath.Join(dir, id, "report.html")))
	_, page = get(t, server.URL, "localhost")
	assert.Contains(t, page, id)
	assert.NotContains(t, page, "report.html", "it has not been written yet")

	require.NoError(t, os.WriteFile(journal, whole, 0o600))
	_, page = get(t, server.URL, "localhost")
	assert.Contains(t, page, "2 passed", "it has been read again")

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "broken"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken", "journal.ndjson"), []byte("{}\n"), 0o600))
	_, page = get(t, server.URL, "localhost")
	assert.Contains(t, page, "run broken cannot be read")
}

func ExampleHandler() {
	server := httptest.NewServer(site.Handler("no such folder"))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}
