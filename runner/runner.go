// Package runner runs experiments: it starts the system, opens links, generates load, injects and
// heals faults, reads effects, and writes the journal.
//
// Test runs feature files in a Go test suite, one subtest per scenario. Run does the same for a
// program. RunExperiments takes experiments built in Go. Each of them leaves a folder with the
// journal, the reports and the logs of the services, and undoes every change even when it fails.
// The README of this folder is the manual for tests, CI, services and safety.
//
// A scenario has these parts:
//
//   - The system is started.
//   - Before the first action, the runner reads the existing effects, watches the links for a second
//     without load to detect heartbeats (and again after the load), starts the load, lets it warm up
//     for a second, and measures the baseline.
//   - Each step acts when it is reached. Nothing is injected if the scenario cannot be valid any more.
//   - The first check heals all live faults, watches the recovery, ends the load, waits for messages
//     that are held back, reads effects until they have settled, sends keys again, and judges all
//     checks together, using only the facts in the journal. Checks that follow a failed one are
//     judged too.
//
// A watchdog records when the runner itself did not run. An error of the runner or of its load
// generator is recorded in the journal and makes the scenario inconclusive; it never counts as a
// failure of the system. Package check judges.
//
// The seed determines which messages a fault selects, which routes the load takes and how long
// clients back off, but not timing. Where services pass the header traceparent or the idempotency
// key on, the same seed selects the same requests, and otherwise as many others.
package runner

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/runner/internal/testbed"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// Options configures a run. The zero value runs ./features.
type Options struct {
	FS       fs.FS    // file system with the features and system files; nil means the working directory
	Root     string   // folder that FS shows, where relative paths in system files start; "" means the working directory
	Paths    []string // files, folders, file.feature:line; empty means "features"
	Tags     string   // tag expression that selects scenarios
	Name     string   // regular expression that selects scenarios by name
	Seed     uint64   // 0 means $FIREDRILL_SEED or else a seed from the clock, recorded in the journal
	Without  []string // protections to switch off, passed to services as ${without}
	Parallel int      // maximum number of scenarios at once; 0 means 1; those tagged @serial run alone
	Dir      string   // parent of run folders; "" means .firedrill/runs
	Self     string   // value of ${self}; "" means this program
	Steps    []Step   // user-defined steps
	Drive    Driver   // runs the steps of feature files; nil means the runner itself; see package godogsteps
	Meter    *Meter   // reads the counts of faults and links during the run; may be nil

	// Vocabulary holds the faults, checks and protocols that feature files and system files can name; nil means the
	// standard ones.
	Vocabulary *language.Vocabulary

	// Sources are kinds of sources of effects besides those that need no client library; see package sources.
	Sources []EffectSource

	// Loads are kinds of load besides HTTP and those that need no client library; see package sources.
	Loads []LoadKind
	// Funcs are the functions that can make the requests of a load, by name.
	Funcs map[string]Func

	// Handlers are services in this process, by name. They replace the commands in the system file.
	Handlers map[string]http.Handler

	// AllowTargets are hosts, or addresses with a port, of other machines that services may run on, besides those that
	// system files allow.
	AllowTargets []string

	// DryRun starts everything and injects nothing: it says what would be injected, and tries the undo of each fault on a
	// link. Each scenario is reported as skipped, and nothing is judged. The exit code is 0 if nothing would prevent the
	// drill.
	DryRun bool

	// AllowSkipped allows the run to pass even if scenarios were skipped because a required program is missing.
	AllowSkipped bool

	// Repeat runs each scenario so many times, with different seeds; below 2 means once. Retries is how often a scenario
	// that failed is run again until it passes: first with the same seed, then with new ones. A scenario that passed after
	// it failed is flaky, which AllowFlaky allows the run to be. These fields and MaxDuration are those of Run and
	// RunExperiments, not of Test.
	Repeat, Retries int
	AllowFlaky      bool
	// MaxDuration prevents scenarios from starting that would end later, as estimated. The run is inconclusive then. 0
	// means no limit.
	MaxDuration time.Duration

	// ScenarioTimeout is how long each scenario may take that does not say so itself, without the time in which people are
	// asked. It is stopped then, healed, and inconclusive, and the run goes on. 0 means no limit.
	ScenarioTimeout time.Duration

	// Watch is called with each event as it is written, one at a time. It may be nil.
	Watch func(journal.Event)
	// Confirm asks the facilitator to confirm something. An error makes the scenario inconclusive. If Confirm is nil,
	// a note is recorded instead.
	Confirm func(ctx context.Context, what string) error
	// BeforeInject is called before each injection and reports whether to skip it. An error ends the scenario. It may
	// be nil.
	BeforeInject func(ctx context.Context, sentence string) (skip bool, err error)
	// HealRequested is called after each injection. When the returned channel is closed, all live faults
	// are healed. It may be nil.
	HealRequested func(ctx context.Context) <-chan struct{}

	// Select returns which of the scenarios of feature files to run, in order; nil means all. With an error, nothing
	// starts.
	Select func([]*scenarios.Experiment) ([]*scenarios.Experiment, error)
	// Opened is called once the journal is open, with a function that records what a person did or saw, until the run
	// ends. It may be nil.
	Opened func(record func(journal.Note))
	// BeforeScenario is called before each scenario. With an error, that scenario is not run. It may be nil.
	BeforeScenario func(context.Context, *scenarios.Experiment) error

	files []journal.File // that were read; see parse
}

// Step is a user-defined step.
//
// Pattern is a regular expression. Do is a function as godog accepts it: its parameters are an
// optional context.Context, the submatches of the pattern, and then a *godog.DocString or a
// *godog.Table. It returns an error, a context.Context, both, or nothing.
//
// A Given runs before the load starts, a When under load, and a Then after all faults are healed.
// FromContext returns the running system from the step's context.
type Step struct {
	Pattern string
	Do      any
}

// runState is the state of a run in progress.
type runState struct {
	o         Options
	dir       string
	short     string // short ID of the run
	seed      uint64
	file      *os.File
	journal   *journal.Writer
	admission *admission
	mu        sync.Mutex

	repeatOf   map[string]string // by ID: the scenario that it repeats; see repetitions
	rehearsed  atomic.Int64      // scenarios whose dry run found nothing that would prevent them
	control    *control.Server   // nil if there is none; see openControl
	sessionsMu sync.Mutex        // guards sessions and aborted
	sessions   []*session        // that run
	aborted    error             // why no further scenario starts; nil if the run was not aborted

	authority testbed.Authority
	secrets   map[string]string // see Experiment.Secrets; they appear in no artefact
}

// Run parses, validates and runs features. An error of type scenarios.Problems means that a feature
// is invalid and nothing was started. With any other error the Result may still be non-nil.
func Run(ctx context.Context, o Options) (*Result, error) {
	es, err := parse(&o)
	if err == nil && o.Select != nil {
		es, err = o.Select(es)
	}
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
	in := &inputs{FS: o.FS, read: map[string]journal.File{}}
	src := language.Source{FS: in, Root: o.Root, Paths: o.Paths, Tags: o.Tags, Name: o.Name, Vocabulary: o.Vocabulary, Find: process.FindProgram, LookupEnv: os.LookupEnv, AllowTargets: o.AllowTargets}
	for _, s := range o.Steps {
		src.Own = append(src.Own, s.Pattern)
		if err := checkStepFunc(s); err != nil && o.Drive == nil {
			return nil, err
		}
	}
	for name := range o.Handlers {
		src.Handlers = append(src.Handlers, name)
	}
	slices.Sort(src.Handlers)
	es, err := language.Parse(src)
	if err != nil {
		return nil, err
	}
	o.files = in.list()
	return es, checkWithout(o.Without, es, src.Handlers)
}

// RunExperiments runs experiments built in Go.
func RunExperiments(ctx context.Context, o Options, es ...*scenarios.Experiment) (*Result, error) {
	es, repeatOf := repetitions(es, o.Repeat)
	r, err := begin(o, es)
	if err != nil {
		return nil, err
	}
	r.repeatOf = repeatOf
	var pool sync.WaitGroup
	serial := func(e *scenarios.Experiment) bool { return o.Parallel > 1 && slices.Contains(e.Tags, "@serial") }
	for _, e := range es {
		if serial(e) {
			continue
		}
		j := r.admission.queue(jobOf(e, &r.o))
		pool.Go(func() { r.scenario(ctx, e, j) })
	}
	pool.Wait()
	for _, e := range es {
		if serial(e) {
			r.scenario(ctx, e, r.admission.queue(jobOf(e, &r.o)))
		}
	}
	return r.end(ctx)
}

// begin creates the run's folder and journal.
func begin(o Options, es []*scenarios.Experiment) (_ *runState, err error) {
	if err := errors.Join(checkSources(o.Sources, es), o.checkLoads(es)); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(".firedrill", "runs")
	}
	if o.Self == "" {
		if o.Self, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	r := &runState{o: o, seed: o.Seed, admission: newAdmission(o.Parallel), secrets: map[string]string{}}
	for _, e := range es {
		values, err := e.Secrets(os.LookupEnv)
		if err != nil {
			return nil, fmt.Errorf("start scenario %q: %w", e.Name, err)
		}
		maps.Copy(r.secrets, values)
	}
	now := time.Now()
	if seedText := os.Getenv("FIREDRILL_SEED"); r.seed == 0 && seedText != "" {
		if r.seed, err = strconv.ParseUint(seedText, 10, 64); err != nil {
			return nil, fmt.Errorf("read $FIREDRILL_SEED: %q is not a non-negative integer: set it to the seed in a report, or unset it", seedText)
		}
	}
	if r.seed == 0 {
		r.seed = uint64(now.UnixNano())&(1<<53-1) | 1 //nolint:gosec // any nonzero number exact as a float64, for JSON
	}
	id := make([]byte, 3)
	_, _ = rand.Read(id)
	r.short = hex.EncodeToString(id)
	name := now.UTC().Format("20060102T150405Z") + "-" + r.short
	r.dir = filepath.Join(o.Dir, name)
	if err = os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the run: %w", err)
	}
	r.file, err = os.OpenFile(filepath.Join(r.dir, "journal.ndjson"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the journal: %w", err)
	}
	linkLatest(o.Dir, name)
	r.journal = journal.NewWriter(r.file, now)
	r.journal.Hide(slices.Collect(maps.Values(r.secrets))...)
	r.write(journal.Event{Run: &journal.Run{
		Schema: journal.Schema, ID: name, Began: now.UTC(), Version: version(), Seed: journal.Seed(r.seed),
		Command: os.Args, Without: o.Without, AllowSkipped: o.AllowSkipped, AllowFlaky: o.AllowFlaky, DryRun: o.DryRun, MaxDuration: o.MaxDuration, Plan: planned(es), Files: o.files,
		Host: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
	}})
	r.reclaim()
	_, _ = control.RemoveStale(context.Background(), o.Dir) // a stale socket that stays does no harm
	r.openControl()
	if o.Opened != nil {
		o.Opened(r.note)
	}
	return r, nil
}

// planned lists the scenarios of a run, so that reports can name those that never started.
func planned(es []*scenarios.Experiment) []journal.Planned {
	var all []journal.Planned
	for _, e := range es {
		all = append(all, journal.Planned{ID: e.ID, Name: e.Name, File: e.File, Line: e.Line, About: e.Estimate()})
	}
	return all
}

// linkLatest makes the symbolic link "latest" point to the newest run. Errors are ignored: not every
// file system supports symbolic links.
func linkLatest(dir, name string) {
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

// write writes an event to the journal and passes it to Options.Watch, in the same order.
func (r *runState) write(e journal.Event) journal.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	e = r.journal.Write(e)
	if r.o.Watch != nil {
		r.o.Watch(r.journal.Redact(e))
	}
	return e
}

// note records what a person did or saw, in the scenario that runs, if it is the only one.
func (r *runState) note(n journal.Note) {
	if sessions, _ := r.active(); len(sessions) == 1 {
		sessions[0].record(journal.Event{Note: &n})
		return
	}
	r.write(journal.Event{Note: &n})
}

// end folds and closes the journal, and writes the reports. The journal is read once; what is written after that is
// only the event that holds the outcome.
func (r *runState) end(ctx context.Context) (*Result, error) {
	if r.control != nil {
		_ = r.control.Close() // the socket may be gone, as its folder may be
	}
	book, err := r.fold()
	if err != nil {
		return nil, err
	}
	book.End = &journal.End{}
	book.End.Outcome = reports.Outcome(book)
	if _, aborted := r.active(); aborted != nil {
		book.End.Outcome = "stopped"
	}
	if ctx.Err() != nil {
		book.End.Outcome = "interrupted"
	}
	r.write(journal.Event{End: book.End})
	res := &Result{Dir: r.dir, Book: book, Outcome: book.End.Outcome}
	res.DryRun = r.o.DryRun && len(book.Scenarios) > 0 && len(book.NotRun()) == 0 && int(r.rehearsed.Load()) == len(book.Scenarios)
	broken := errors.Join(r.journal.Err(), r.file.Close())
	if broken != nil {
		book.End = nil // as in the journal
		if res.ExitCode() == 0 {
			res.Outcome, res.DryRun = "inconclusive", false // facts are missing
		}
	}
	err = reports.Formats().WriteDir(r.dir, book)
	if err != nil && broken == nil {
		err = fmt.Errorf("the outcome is %q, as its journal says, but reports are missing (make room, and render them: firedrill report %s):\n%w", res.Outcome, r.dir, err)
		res.Unwritten = err
	}
	return res, errors.Join(broken, err)
}

func (r *runState) fold() (*journal.Book, error) {
	f, err := os.Open(r.file.Name())
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	return journal.Fold(f)
}
