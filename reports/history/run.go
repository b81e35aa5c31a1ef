// Package history compares runs with earlier ones, from the journals in the folders of runs.
//
// Find and List read recorded runs. Compare states what changed between two of them. NewTrend lays the latest runs out
// as a table. ParseGate reads a condition on the failures of a time ("fewer than 3 failed drills in 4 weeks"), and
// Gate.Judge judges it.
//
// Nothing is compared that is not comparable: see Scenario.Differences. What is not known is never counted as good.
package history

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Run is a recorded run, reduced to what runs are compared by.
type Run struct {
	ID        string
	Dir       string
	Began     time.Time
	Outcome   string // of the run; "inconclusive" if it was killed
	Machine   string // platform and number of CPUs: "linux/amd64, 2 CPUs"
	Without   []string
	Scenarios []*Scenario // in the order of the run; those that never began have the outcome "not run"
}

// Scenario is a scenario of a recorded run.
type Scenario struct {
	ID, Name, File string
	Line           int
	Tags           []string
	Outcome        string
	Reason         string
	Checks         []Check  // without implied checks that passed
	Figures        []Figure // those that were measured, in the order of the table of figures

	run     *Run
	repeats string   // ID of the scenario that it is a repetition of; "" if it is none
	steps   []string // with the keyword
	links   []string
	digests journal.Digests
}

// Check is the verdict of a check.
type Check struct {
	Check, Outcome, Observed, Reason string
}

// NotRun is the outcome of a scenario that was planned and never began.
const NotRun = "not run"

// proved reports whether a scenario or a check with an outcome was judged.
func proved(outcome string) bool { return outcome == "passed" || failed(outcome) }

// failed reports whether an outcome is that of a failure, even if the scenario passed when it was run again.
func failed(outcome string) bool {
	return outcome == "failed" || outcome == "stopped" || outcome == Flaky
}

// journalFile is the name of the journal in the folder of a run.
const journalFile = "journal.ndjson"

// Find reads a run: a folder, or the name of a run in the folder parent, or "latest".
func Find(parent, name string) (*Run, error) {
	dir, err := Folder(parent, name)
	if err != nil {
		return nil, err
	}
	return read(dir)
}

// Folder returns the folder of a run, which is named as for Find. An error names the newest runs.
func Folder(parent, name string) (dir string, err error) {
	dir = name
	if _, err := os.Stat(filepath.Join(dir, journalFile)); err != nil {
		dir = filepath.Join(parent, name)
	}
	if target, err := filepath.EvalSymlinks(dir); err == nil { // "latest" leads elsewhere when the next run begins
		dir = target
	}
	if _, err := os.Stat(filepath.Join(dir, journalFile)); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("find the run %q: it is no folder with a journal, and there is none in %s: %s", name, parent, newest(parent))
	}
	return dir, nil
}

// newest suggests names of runs for a message.
func newest(parent string) string {
	names, _ := names(parent)
	if len(names) == 0 {
		return "there is no run at all; firedrill run records one"
	}
	slices.Reverse(names)
	return "the newest runs are " + strings.Join(names[:min(3, len(names))], ", ")
}

// names returns the names of the folders of runs, sorted: the oldest first, since names begin with the time.
func names(parent string) (all []string, err error) {
	entries, err := os.ReadDir(parent)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(parent, e.Name(), journalFile)); e.IsDir() && err == nil {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

// List reads the runs in a folder that began after a time, at most the newest most of them, sorted by when they began.
// A most of 0 means all. Unread names the runs that cannot be read, and why. A folder that does not exist has no runs.
func List(parent string, after time.Time, most int) (runs []*Run, unread []string, err error) {
	return new(Reader).List(parent, after, most)
}

// Reader reads runs like List, and remembers those whose journals have not changed since. The zero value is ready to
// use. Its methods may be called concurrently.
type Reader struct {
	mu    sync.Mutex
	known map[string]knownRun // by folder
}

// knownRun is a run and what its journal looked like when it was read.
type knownRun struct {
	*Run
	size    int64
	changed time.Time
}

// read reads a run unless it is known.
func (r *Reader) read(dir string) (*Run, error) {
	info, err := os.Stat(filepath.Join(dir, journalFile))
	if err != nil {
		return nil, err
	}
	if k, ok := r.known[dir]; ok && k.size == info.Size() && k.changed.Equal(info.ModTime()) {
		return k.Run, nil
	}
	run, err := read(dir)
	if err != nil {
		return nil, err
	}
	if r.known == nil {
		r.known = map[string]knownRun{}
	}
	r.known[dir] = knownRun{run, info.Size(), info.ModTime()}
	return run, nil
}

// List is like the function List.
func (r *Reader) List(parent string, after time.Time, most int) (runs []*Run, unread []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := names(parent)
	if err != nil {
		return nil, nil, err
	}
	type head struct {
		dir   string
		began time.Time
	}
	var heads []head
	for _, name := range all {
		dir := filepath.Join(parent, name)
		began, err := beganAt(dir)
		if err != nil {
			unread = append(unread, fmt.Sprintf("run %s cannot be read: %v", name, err))
		} else if began.After(after) {
			heads = append(heads, head{dir, began})
		}
	}
	slices.SortStableFunc(heads, func(a, b head) int { return a.began.Compare(b.began) })
	if most > 0 {
		heads = heads[max(0, len(heads)-most):]
	}
	for _, h := range heads {
		run, err := r.read(h.dir)
		if err != nil {
			unread = append(unread, fmt.Sprintf("run %s cannot be read: %v", filepath.Base(h.dir), err))
			continue
		}
		runs = append(runs, run)
	}
	return runs, unread, nil
}

// beganAt reads when a run began from the first line of its journal.
func beganAt(dir string) (time.Time, error) {
	f, err := os.Open(filepath.Join(dir, journalFile))
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadBytes('\n')
	var e journal.Event
	if err := json.Unmarshal(line, &e); err != nil || e.Run == nil {
		return time.Time{}, errors.New("its first line is not the start of a journal")
	}
	return e.Run.Began, nil
}

func read(dir string) (*Run, error) {
	book, err := readBook(dir)
	if err != nil {
		return nil, err
	}
	return newRun(dir, book), nil
}

func readBook(dir string) (*journal.Book, error) {
	f, err := os.Open(filepath.Join(dir, journalFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	book, err := journal.Fold(f)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	return book, nil
}

func newRun(dir string, b *journal.Book) *Run {
	machine := b.Run.Host
	if at := strings.LastIndex(machine, ", go"); at >= 0 {
		machine = machine[:at]
	}
	r := &Run{ID: b.Run.ID, Dir: dir, Began: b.Run.Began, Outcome: reports.Outcome(b), Machine: machine, Without: b.Run.Without}
	for _, h := range b.Scenarios {
		if h.RetryOf == "" {
			s := newScenario(r, h.Remembering())
			if reports.OutcomeOf(b, h) == Flaky {
				s.Outcome = Flaky
			}
			r.Scenarios = append(r.Scenarios, s)
		}
	}
	for _, p := range b.NotRun() {
		first, _, _ := strings.Cut(p.ID, "--repeat-") // as the runner names repetitions
		if first == p.ID || !slices.ContainsFunc(b.Run.Plan, func(other journal.Planned) bool { return other.ID == first }) {
			first = ""
		}
		r.Scenarios = append(r.Scenarios, &Scenario{ID: p.ID, Name: p.Name, File: p.File, Line: p.Line, Outcome: NotRun, run: r, repeats: first})
	}
	return r
}

func newScenario(r *Run, h *journal.History) *Scenario {
	s := &Scenario{ID: h.ID, Name: h.Name, File: h.File, Line: h.Line, Tags: h.Tags, Outcome: "inconclusive", Figures: figuresOf(h), run: r, repeats: h.RepeatOf, digests: h.Digests}
	if h.End != nil {
		s.Outcome, s.Reason = check.ScenarioOutcome(h), h.End.Reason
	}
	for _, step := range h.Steps {
		s.steps = append(s.steps, step.Keyword+" "+step.Text)
	}
	for _, l := range h.Links {
		s.links = append(s.links, fmt.Sprintf("%s -> %s (%s)", l.From, l.To, l.Protocol))
	}
	for _, v := range h.Verdicts {
		if v.Outcome != "passed" || !implied(v.Kind) {
			s.Checks = append(s.Checks, Check{v.Check, v.Outcome, v.Observed, v.Reason})
		}
	}
	return s
}

func implied(kind string) bool {
	k, _ := check.KindNamed(kind)
	return k.Implied
}

// Find returns the scenario with an ID, or nil.
func (r *Run) Find(id string) *Scenario {
	for _, s := range r.Scenarios {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// Differences returns why the run cannot be compared with another one, or nil: it ran on another size of machine, or
// without other protections.
func (r *Run) Differences(other *Run) (all []string) {
	if r.Machine != other.Machine {
		all = append(all, fmt.Sprintf("the machine: %q, and %q before", r.Machine, other.Machine))
	}
	if a, b := without(r), without(other); a != b {
		all = append(all, fmt.Sprintf("the protections: %s, and %s before", a, b))
	}
	return all
}

func without(r *Run) string {
	if len(r.Without) == 0 {
		return "none switched off"
	}
	names := slices.Clone(r.Without)
	slices.Sort(names)
	return "without " + strconv.Quote(strings.Join(names, ", "))
}

// Differences returns why the scenario cannot be compared with the same one of another run, or nil. The runs must not
// differ (see Run.Differences), and neither may steps, links, the description of the system, and the load. The programs
// of the system may: they are what runs are compared for.
func (s *Scenario) Differences(other *Scenario) []string {
	all := s.run.Differences(other.run)
	steps := firstDifference("the feature", s.steps, other.steps)
	links := firstDifference("the links", s.links, other.links)
	all = append(all, steps...)
	all = append(all, links...)
	if a, b := s.digests.Load, other.digests.Load; a != b && len(steps) == 0 {
		all = append(all, fmt.Sprintf("the load: its requests or its clients (digest %s, and %s before)", cmp.Or(a, "unknown"), cmp.Or(b, "unknown")))
	}
	if a, b := s.digests.System, other.digests.System; a != b && len(links) == 0 {
		all = append(all, fmt.Sprintf("the description of the system (digest %s, and %s before)", cmp.Or(a, "unknown"), cmp.Or(b, "unknown")))
	}
	return all
}

// firstDifference describes the first lines that differ, or returns nil.
func firstDifference(what string, a, b []string) []string {
	if slices.Equal(a, b) {
		return nil
	}
	line := func(lines []string, i int) string {
		if i < len(lines) {
			return strconv.Quote(lines[i])
		}
		return "nothing"
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return []string{fmt.Sprintf("%s: %s, and %s before", what, line(a, i), line(b, i))}
}
