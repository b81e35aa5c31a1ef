// Package site shows recorded runs as pages: a list of the runs, the course of each scenario over them, a comparison of
// two runs, and the files of each run.
//
// There is no database: everything is read from the folders of the runs, which are never changed. The pages need no
// script. Only this machine can open them: see Handler.
package site

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/loopback"
	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// mostRuns is how many runs are read, and runsInBand from how many of them the usual range of a figure is taken: as in
// "firedrill diff".
const (
	mostRuns   = 100
	runsInBand = 20
	inTrend    = 30 // runs shown in the course of a scenario
)

//go:embed site.html
var pages string

// site is the handler of the pages.
type site struct {
	dir   string // parent of run folders
	runs  history.Reader
	pages *template.Template
}

// Handler returns the pages of the runs in a folder. It only reads, and answers only requests that name this machine as
// their host, so that a page of another site cannot reach it through a name that leads here (DNS rebinding). Files of
// runs may contain what the system under test has sent: they are never interpreted as another type than their name
// says, and only reports run scripts, those whose digests they state.
func Handler(dir string) http.Handler {
	s := &site{dir: dir}
	s.pages = template.Must(template.New("site").Funcs(template.FuncMap{
		"visible": journal.Visible, "when": when, "join": strings.Join, "spark": spark, "report": s.hasReport,
		"class": func(state string) string { return strings.ReplaceAll(state, " ", "-") },
	}).Parse(pages))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.list)
	mux.HandleFunc("GET /trend", s.trend)
	mux.HandleFunc("GET /compare", s.compare)
	mux.HandleFunc("GET /runs/{run}/{file...}", s.file)
	return loopback.Only(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Frame-Options", "DENY")
		mux.ServeHTTP(w, r)
	}))
}

// write writes a page.
func (s *site) write(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "write the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// fail writes a page that says what is wrong.
func (s *site) fail(w http.ResponseWriter, status int, why string) {
	s.write(w, status, "problem", why)
}

// read returns the newest runs, the oldest first, and what cannot be read. It returns false if it has written why it
// cannot.
func (s *site) read(w http.ResponseWriter) (runs []*history.Run, unread []string, ok bool) {
	runs, unread, err := s.runs.List(s.dir, time.Time{}, mostRuns)
	if err != nil {
		s.fail(w, http.StatusInternalServerError, err.Error())
		return nil, nil, false
	}
	return runs, unread, true
}

// list writes the list of runs, or of those with an outcome, or with a text in their ID, a scenario or a tag.
func (s *site) list(w http.ResponseWriter, r *http.Request) {
	all, unread, ok := s.read(w)
	if !ok {
		return
	}
	outcome, text := r.FormValue("outcome"), r.FormValue("text")
	var rows []row
	for _, run := range slices.Backward(all) {
		if (outcome == "" || run.Outcome == outcome) && holds(run, text) {
			rows = append(rows, newRow(run))
		}
	}
	s.write(w, http.StatusOK, "list", map[string]any{
		"Title": "Runs", "Dir": s.dir, "Rows": rows, "All": len(all), "Most": mostRuns, "Unread": unread, "Outcome": outcome, "Text": text,
		"Outcomes": []string{"passed", "failed", "inconclusive", "stopped", "interrupted"},
	})
}

// row is a run in the list.
type row struct {
	*history.Run
	Counts string   // "3 passed, 1 failed"
	Bad    []string // scenarios that did not pass, without those that were not run
}

func newRow(run *history.Run) row {
	r := row{Run: run}
	counts := map[string]int{}
	for _, sc := range run.Scenarios {
		counts[sc.Outcome]++
		if sc.Outcome != "passed" && sc.Outcome != history.NotRun {
			r.Bad = append(r.Bad, sc.Name)
		}
	}
	r.Counts = countsText(counts)
	return r
}

// holds reports whether the ID of a run, the name of one of its scenarios, or a tag holds a text, in whatever case.
func holds(run *history.Run, text string) bool {
	text = strings.ToLower(text)
	in := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return in(run.ID) || slices.ContainsFunc(run.Scenarios, func(sc *history.Scenario) bool { return in(sc.Name) || slices.ContainsFunc(sc.Tags, in) })
}

// trend writes the course of each scenario, or of those with a text in their name.
func (s *site) trend(w http.ResponseWriter, r *http.Request) {
	runs, _, ok := s.read(w)
	if !ok {
		return
	}
	text := strings.ToLower(r.FormValue("text"))
	trends := slices.DeleteFunc(history.NewTrend(runs, inTrend), func(t history.Trend) bool { return !strings.Contains(strings.ToLower(t.Name), text) })
	s.write(w, http.StatusOK, "trend", map[string]any{"Title": "Trend", "Trends": trends, "Text": r.FormValue("text"), "Most": inTrend})
}

// compare writes what changed from the run "before" to the run "now".
func (s *site) compare(w http.ResponseWriter, r *http.Request) {
	runs, _, ok := s.read(w)
	if !ok {
		return
	}
	find := func(id string) *history.Run {
		if i := slices.IndexFunc(runs, func(r *history.Run) bool { return r.ID == id }); i >= 0 {
			return runs[i]
		}
		return nil
	}
	before, now := find(r.FormValue("before")), find(r.FormValue("now"))
	if before == nil || now == nil {
		s.fail(w, http.StatusNotFound, "Choose two runs of the list: an earlier one and a later one.")
		return
	}
	s.write(w, http.StatusOK, "compare", map[string]any{"Title": "Comparison", "C": history.Compare(before, now, runs, runsInBand)})
}

// file writes a file of a run. Links that lead out of the folder of runs are not followed.
func (s *site) file(w http.ResponseWriter, r *http.Request) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		s.fail(w, http.StatusNotFound, err.Error())
		return
	}
	defer func() { _ = root.Close() }()
	name := path.Join(r.PathValue("run"), r.PathValue("file"))
	info, err := root.Stat(name)
	if err != nil {
		s.fail(w, http.StatusNotFound, "There is no such file in the folder of the runs.")
		return
	}
	if info.IsDir() {
		s.folder(w, r, root, name)
		return
	}
	if path.Ext(name) != ".html" {
		w.Header().Set("Content-Type", contentType(name))
	}
	http.ServeFileFS(w, r, root.FS(), name)
}

// contentType returns the type of a file of a run that is no page.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".gz":
		return "application/gzip"
	}
	return "text/plain; charset=utf-8"
}
