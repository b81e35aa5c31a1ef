package truth

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// row is a drill and its true verdict.
type row struct {
	name   string
	steps  string // lines that follow: Given the system described in "system.yaml"
	system string // the system file; "" means the services front and back, with these options:
	front  string
	back   string
	needs  string // a program that must be installed
	power  bool   // a service loses power

	want   string   // "passed", "failed", "inconclusive", "problem" (exit code 2) or "stopped"; alternatives are separated by |
	reason string   // a regular expression for the reasons of an outcome other than passed
	sent   [2]int   // bounds of the number of requests sent; zero means any
	fails  []string // regular expressions of exactly the checks that fail
	why    string   // why the outcome is the true one

	paths       []string                         // features; empty means a.feature
	files       map[string]string                // other files, by name
	before      func(t *testing.T, f folder)     // is called before the run
	beside      func(pid int, begun func() bool) // is called during the run; begun waits for a live fault
	descriptors int                              // file limit of the program; 0 means the default
	parallel    int                              // maximum number of scenarios at once; 0 means 1
	runs        int                              // number of runs, of which the last counts; 0 means 1
	alone       bool                             // the verdict depends on time, so no other row runs meanwhile
	full        bool                             // runs only with -full
}

// folder is the folder of a row, and the program of its services.
type folder struct{ dir, service string }

// shop returns the system file of most rows. It has the service spare only if the steps name it.
func (r row) shop(f folder) string {
	var b strings.Builder
	b.WriteString("fallback: \"X-Degraded: true\"\nservices:\n")
	fmt.Fprintf(&b, "  front:\n    command: [%q, %s]\n    serves: [/]\n    depends: {back: http}\n", f.service, list(`-listen 127.0.0.1:${port} -dep ${link:back} `+r.front))
	fmt.Fprintf(&b, "  back:\n    command: [%q, %s]\n", f.service, list(`-listen 127.0.0.1:${port} `+r.back))
	if strings.Contains(r.steps, "spare") {
		fmt.Fprintf(&b, "  spare:\n    command: [%q, %s]\n    serves: [/spare]\n", f.service, list(`-listen 127.0.0.1:${port}`))
	}
	b.WriteString("clients:\n  depends: {front: http}\n")
	return b.String()
}

// list returns fields as the elements of a YAML list.
func list(fields string) string {
	all := strings.Fields(fields)
	for i, s := range all {
		all[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(all, ", ")
}

// write writes the files of the row to its folder.
func (r row) write(f folder) error {
	system := r.system
	if system == "" {
		system = r.shop(f)
	}
	system = strings.ReplaceAll(strings.ReplaceAll(system, "SERVICE", f.service), "FOLDER", f.dir)
	var b strings.Builder
	fmt.Fprintf(&b, "Feature: truth\n\n  Scenario: %s\n    Given the system described in \"system.yaml\"\n", strings.ReplaceAll(r.name, ":", ","))
	for line := range strings.Lines(r.steps) {
		switch line = strings.TrimSpace(line); {
		case line == "":
		case strings.HasPrefix(line, "Scenario:"):
			fmt.Fprintf(&b, "\n  %s\n    Given the system described in \"system.yaml\"\n", line)
		default:
			fmt.Fprintln(&b, "    "+line)
		}
	}
	files := map[string]string{"system.yaml": system, "a.feature": b.String()}
	for name, text := range r.files {
		files[name] = strings.ReplaceAll(strings.ReplaceAll(text, "SERVICE", f.service), "FOLDER", f.dir)
	}
	for name, text := range files {
		if err := os.WriteFile(f.dir+"/"+name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// setPort replaces PORT in the files of the row.
func (f folder) setPort(t *testing.T, port string) {
	t.Helper()
	for _, name := range []string{"system.yaml", "nginx.conf"} {
		raw, err := os.ReadFile(f.dir + "/" + name)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(f.dir+"/"+name, bytes.ReplaceAll(raw, []byte("PORT"), []byte(port)), 0o600))
	}
}

// wrong lists the differences between the row and its result.
func (r row) wrong(g got) []string {
	var all []string
	if !slices.Contains(strings.Split(r.want, "|"), g.outcome) {
		all = append(all, fmt.Sprintf("the outcome is %s", g.outcome))
	}
	if (g.outcome != "passed" || g.reasons != "") && !r.explains(g) {
		all = append(all, fmt.Sprintf("no reason matches %s", r.reason))
	}
	if g.outcome == "failed" || len(r.fails) > 0 && r.want == "failed" {
		all = append(all, r.misjudged(g.failed)...)
	}
	for _, want := range r.finds() {
		if g.outcome != "problem" && !slices.Contains(g.kinds, want) {
			all = append(all, "the planted bug was not found: no "+want)
		}
	}
	if r.sent[1] > 0 && (g.sent < r.sent[0] || g.sent > r.sent[1]) {
		all = append(all, fmt.Sprintf("%d requests were sent, not %d to %d", g.sent, r.sent[0], r.sent[1]))
	}
	if len(g.left) > 0 {
		all = append(all, "left behind: "+strings.Join(g.left, ", "))
	}
	return all
}

// explains reports whether the reasons of a run include that of the row.
func (r row) explains(g got) bool {
	return r.reason == "" || regexp.MustCompile(r.reason).MatchString(g.reasons)
}

// misjudged lists the differences between the checks that failed and those that must.
func (r row) misjudged(failed []string) []string {
	var all []string
	for _, pattern := range r.fails {
		if !slices.ContainsFunc(failed, regexp.MustCompile(pattern).MatchString) {
			all = append(all, fmt.Sprintf("no check that failed matches %s", pattern))
		}
	}
	for _, check := range failed {
		if !slices.ContainsFunc(r.fails, func(p string) bool { return regexp.MustCompile(p).MatchString(check) }) {
			all = append(all, fmt.Sprintf("this check must not fail: %s", check))
		}
	}
	return all
}

// load returns the load of most rows. It is short: a longer one would not change the verdict.
func load(route string, rate float64) string {
	return loadFor(route, rate, time.Second, baseline(rate))
}

// baseline returns a time in which more than the 20 requests that a baseline needs are answered.
func baseline(rate float64) time.Duration {
	if rate < 40 {
		return 2 * time.Second
	}
	return time.Second
}

func loadFor(route string, rate float64, patience, baseline time.Duration) string {
	return fmt.Sprintf("And a steady load of %v requests per second on %q\nAnd clients give up after %s\nAnd a baseline is measured for %s\n", rate, route, patience, baseline)
}

// keyed returns the sentences that add a key to each request and read effects.
func keyed(effects string) string {
	return "And every request carries a fresh idempotency key in the \"Idempotency-Key\" header\n" + fmt.Sprintf("And applied effects are read from %q\n", effects)
}

// settled shortens the time in which effects may still appear, for services that apply them at once.
const settled = "And effects settle within 2s\n"

// steady is a steady state without a condition on success.
const steady = `And the steady state is:
| measure     | condition   |
| p95 latency | below 500ms |
`

// Sentences of many rows.
const (
	slow    = "When calls from \"front\" to \"back\" are delayed by 100ms for 1s\n"
	half    = "Then at least 50% of requests succeed during the fault\n"
	succeed = "Then at least 99% of requests succeed\n"
	once    = "Then every acknowledged request is applied exactly once\n"
	twice   = "Then no request is applied more than once\n"
	lost    = "Then no acknowledged request is lost\n"
)
