// Package runner carries experiments out: it starts the system, opens links, generates load, injects, heals, reads effects, and writes the journal.
//
// Test runs feature files in a Go test suite, a subtest for each scenario; Run does the same for a program; RunExperiments takes experiments that
// were built in Go. All of them leave a folder with the journal, the reports and the services' logs, and undo everything whatever happens.
//
// A scenario runs so: the system is started at its beginning; the first step that acts starts the load and measures the baseline; steps act as they
// are reached; the first check heals what is live, watches the recovery, ends the load, reads effects and judges all checks at once, on the facts in
// the journal alone. Checks after a failed one are judged too.
//
// The seed decides which messages a fault chooses, which routes the load takes and how long clients back off. It does not decide timing: a run with
// the same seed is the same drill and not the same film.
package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Options of a run. The zero value runs ./features.
type Options struct {
	FS       fs.FS                   // where features and system files are read; nil means the working folder
	Paths    []string                // files, folders, file.feature:line; empty means "features"
	Tags     string                  // tag expression
	Name     string                  // regular expression on scenario names
	Seed     uint64                  // 0 means $FIREDRILL_SEED, or one from the clock; the journal tells it
	Without  []string                // protections to switch off, handed to services as ${without}
	Parallel int                     // scenarios at once; 0 means 1; those tagged @serial run alone
	Dir      string                  // parent of run folders; "" means .firedrill/runs
	Self     string                  // what ${self} stands for; "" means this program
	Steps    []Step                  // the user's own
	Metrics  string                  // host:port where /metrics tells Prometheus how injections and links go, while the run lasts; without a host loopback; "" nowhere
	Handlers map[string]http.Handler // services in this process, by name: they stand in for the system file's command

	Watch   func(journal.Event)                                           // sees each event as it is written, one at a time; may be nil
	Confirm func(ctx context.Context, what string) error                  // asks the facilitator; nil notes it and goes on
	Before  func(ctx context.Context, says string) (skip bool, err error) // asked before each injection; nil goes on
	Healing func(ctx context.Context) <-chan struct{}                     // asked after each injection: closed when the operator heals all by hand; nil never
}

// Step is a user's own godog step: a pattern (regular expression) and a function as godog takes it. It runs where it stands: as a Given before the load,
// as a When under it, as a Then after all is healed. What it is given as context tells of the running system, see Of.
type Step struct {
	Pattern string
	Do      any
}

// Result of a run.
type Result struct {
	Dir     string // the run's folder
	Book    *journal.Book
	Outcome string // the worst of all scenarios
}

// ExitCode is 0 passed, 1 failed, 3 inconclusive, 4 stopped, 130 interrupted. A run in which nothing ran is inconclusive.
func (r *Result) ExitCode() int {
	switch r.Outcome {
	case "passed":
		return 0
	case "failed":
		return 1
	case "stopped":
		return 4
	case "interrupted":
		return 130
	}
	return 3
}

// running is a run under way.
type running struct {
	o       Options
	dir     string
	short   string // the run's short id
	seed    uint64
	file    *os.File
	journal *journal.Writer
	metrics *metrics
	mu      sync.Mutex

	authority authority
}

// Run parses, validates and runs features. An error of type scenarios.Problems means that a feature is wrong and nothing was started; with any
// other error there may be a Result all the same.
func Run(ctx context.Context, o Options) (*Result, error) {
	es, err := parse(&o)
	if err != nil {
		return nil, err
	}
	return RunExperiments(ctx, o, es...)
}

func parse(o *Options) ([]*scenarios.Experiment, error) {
	if o.FS == nil {
		o.FS = os.DirFS(".")
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{"features"}
	}
	src := scenarios.Source{FS: o.FS, Paths: o.Paths, Tags: o.Tags, Name: o.Name}
	for _, s := range o.Steps {
		src.Own = append(src.Own, s.Pattern)
	}
	for name := range o.Handlers {
		src.Handlers = append(src.Handlers, name)
	}
	slices.Sort(src.Handlers)
	return scenarios.Parse(src)
}

// RunExperiments runs experiments built in Go.
func RunExperiments(ctx context.Context, o Options, es ...*scenarios.Experiment) (*Result, error) {
	r, err := begin(o)
	if err != nil {
		return nil, err
	}
	var pool sync.WaitGroup
	places := make(chan struct{}, max(1, o.Parallel))
	for _, e := range es {
		if slices.Contains(e.Tags, "@serial") {
			continue
		}
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		pool.Go(func() {
			defer func() { <-places }()
			r.scenario(ctx, e)
		})
	}
	pool.Wait()
	for _, e := range es {
		if ctx.Err() == nil && slices.Contains(e.Tags, "@serial") {
			r.scenario(ctx, e)
		}
	}
	return r.end(ctx)
}

// begin makes the run's folder and journal.
func begin(o Options) (_ *running, err error) {
	if o.Dir == "" {
		o.Dir = filepath.Join(".firedrill", "runs")
	}
	if o.Self == "" {
		if o.Self, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	r := &running{o: o, seed: o.Seed}
	if r.metrics, err = serveMetrics(o.Metrics); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.metrics.close()
		}
	}()
	now := time.Now()
	if said := os.Getenv("FIREDRILL_SEED"); r.seed == 0 && said != "" {
		if r.seed, err = strconv.ParseUint(said, 10, 64); err != nil {
			return nil, fmt.Errorf("read $FIREDRILL_SEED: %q is not a whole number from 0 up: set it to the seed that a report tells, or leave it out", said)
		}
	}
	if r.seed == 0 {
		r.seed = uint64(now.UnixNano()) //nolint:gosec // any number will do
	}
	id := make([]byte, 3)
	_, _ = rand.Read(id)
	r.short = hex.EncodeToString(id)
	name := now.UTC().Format("20060102T150405Z") + "-" + r.short
	r.dir = filepath.Join(o.Dir, name)
	if err = os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run's folder: %w", err)
	}
	r.file, err = os.OpenFile(filepath.Join(r.dir, "journal.ndjson"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the journal: %w", err)
	}
	latest(o.Dir, name)
	r.journal = journal.NewWriter(r.file, now)
	r.write(journal.Event{Run: &journal.Run{
		Schema: journal.Schema, ID: name, Began: now.UTC(), Version: version(), Seed: r.seed, Command: os.Args, Without: o.Without,
		Host: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
	}})
	return r, nil
}

// latest points a link at the newest run. A file system without links does without.
func latest(dir, name string) {
	tmp := filepath.Join(dir, ".latest-"+name)
	if os.Symlink(name, tmp) == nil {
		_ = os.Rename(tmp, filepath.Join(dir, "latest"))
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// write writes an event and shows it to the watcher, in the journal's order.
func (r *running) write(e journal.Event) journal.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	e = r.journal.Write(e)
	if r.o.Watch != nil {
		r.o.Watch(e)
	}
	return e
}

// scenario runs one experiment to its end.
func (r *running) scenario(ctx context.Context, e *scenarios.Experiment) {
	s := newSession(ctx, r, e)
	s.begin()
	defer s.finish()
	s.drive()
}

// end closes the journal, folds it, and writes the reports.
func (r *running) end(ctx context.Context) (*Result, error) {
	defer r.metrics.close()
	book, err := r.fold()
	if err != nil {
		return nil, err
	}
	book.End = &journal.End{} // about to be written: the run comes to its end
	outcome := reports.Outcome(book)
	if ctx.Err() != nil {
		outcome = "interrupted"
	}
	r.write(journal.Event{End: &journal.End{Outcome: outcome}})
	err = errors.Join(r.journal.Err(), r.file.Close())
	if book, again := r.fold(); again == nil {
		res := &Result{Dir: r.dir, Book: book, Outcome: outcome}
		if err != nil && res.ExitCode() == 0 {
			res.Outcome = "inconclusive" // facts are missing
		}
		return res, errors.Join(err, reports.WriteDir(r.dir, book))
	}
	return nil, err
}

func (r *running) fold() (*journal.Book, error) {
	f, err := os.Open(r.file.Name())
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	return journal.Fold(f)
}
