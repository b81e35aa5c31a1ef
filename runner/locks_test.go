package runner_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// worker takes turns with others in holding a lock with a lease, and logs when it holds it. The lock is a file.
type worker struct {
	name, dir   string
	fenced      bool // who takes over an expired lease ends the old one, and it is not released later
	work, lease time.Duration
}

func newWorker(env func(string) string) worker {
	w := worker{name: env("NAME"), dir: env("LOCK"), fenced: env("FENCED") != "", work: 60 * time.Millisecond, lease: 100 * time.Millisecond}
	if d, err := time.ParseDuration(env("WORK")); err == nil {
		w.work = d
	}
	if d, err := time.ParseDuration(env("LEASE")); err == nil {
		w.lease = d
	}
	return w
}

// run acquires the lock, works for less than the lease, and releases the lock, again and again.
func (w worker) run() {
	for {
		acquired := false
		w.exclusively(func(holder string, until time.Time, log func(what, who string)) (string, time.Time) {
			now := time.Now()
			switch {
			case holder != "" && now.Before(until):
				return holder, until
			case holder != "" && w.fenced:
				log("expired", holder)
			}
			acquired = true
			log("acquired", w.name)
			return w.name, now.Add(w.lease)
		})
		if !acquired {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		time.Sleep(w.work) // the deliberate bug: it works on although it may have been paused here
		w.exclusively(func(holder string, until time.Time, log func(what, who string)) (string, time.Time) {
			if holder == w.name || !w.fenced {
				log("released", w.name)
			}
			if holder == w.name {
				return "", time.Time{}
			}
			return holder, until
		})
		time.Sleep(10 * time.Millisecond)
	}
}

// exclusively changes the holder of the lock and the end of its lease. No other process does at the same time.
func (w worker) exclusively(change func(holder string, until time.Time, log func(what, who string)) (string, time.Time)) {
	f, err := os.OpenFile(filepath.Join(w.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		panic(err)
	}
	var holder string
	var until int64
	_, _ = fmt.Fscan(f, &until, &holder)
	holder, end := change(holder, time.Unix(0, until), func(what, who string) {
		log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintf(log, "%s leader by %s at %s\n", what, who, time.Now().Format(time.RFC3339Nano))
		_ = log.Close()
	})
	_ = f.Truncate(0)
	_, _ = f.WriteAt(fmt.Appendf(nil, "%d %s", end.UnixNano(), holder), 0)
}

// lockDrill returns a scenario in which two workers with these environments take turns, and whose list also has what a third
// one did yesterday.
func lockDrill(t *testing.T, name string, env [2]map[string]string) *scenarios.Builder {
	t.Helper()
	dir := t.TempDir()
	yesterday := time.Now().Add(-24 * time.Hour).Unix()
	var kept strings.Builder
	for i, what := range []string{"acquired", "renewed", "released"} {
		fmt.Fprintf(&kept, "%s leader by worker-9 at %d\n", what, yesterday+int64(i))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "log"), []byte(kept.String()), 0o600))
	system := scenarios.System{Effects: []scenarios.DeclaredSource{{Name: "lock log", Kind: "file", At: filepath.Join(dir, "log"),
		Settings: map[string]string{"format": `^(?P<value>\S+) (?P<key>\S+) by (?P<id>\S+) at (?P<seq>\S+)$`}}}}
	for i := range env {
		s := roleService(fmt.Sprint("worker-", i), "worker")
		maps.Copy(s.Env, env[i])
		s.Env["NAME"], s.Env["LOCK"] = s.Name, dir
		system.Services = append(system.Services, s)
	}
	system.Services[0].Serves = []string{"/"}
	system.Links = []scenarios.Link{{From: "clients", To: "worker-0", Protocol: "http"}}
	return scenarios.New(name).System(system).Load(scenarios.Load{Rate: 30, GiveUp: time.Second, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}).Baseline(2 * time.Second)
}

// A worker that hangs for longer than its lease, and goes on, holds the lock together with the next one. If the lease of
// the old one is ended first, and its release refused, at most one holds it.
func TestLocks(t *testing.T) {
	t.Parallel()
	c := check.MutualExclusion{Lock: "leader", Source: "lock log"}
	var es []*scenarios.Experiment
	for name, env := range map[string]map[string]string{"fenced": {"FENCED": "yes"}, "not fenced": nil} {
		b := lockDrill(t, name, [2]map[string]string{env, env})
		for i := range 14 { // it holds the lock at about every second of them, which are not in step with its turns
			b = b.Inject("", "worker-0", injector.Hang{}).For(300 * time.Millisecond).Wait(time.Duration(90+11*i) * time.Millisecond)
		}
		es = append(es, build(t, b.Check(c)))
	}
	all := runAll(t, es...)
	v := verdict(t, all["fenced"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Regexp(t, `2 holders acquired it \d+ times, [1-9]\d* during the fault`, v.Observed)
	require.Len(t, all["fenced"].Locks, 1)
	require.Greater(t, len(all["fenced"].Locks[0].Events), 3)
	kept := all["fenced"].Locks[0].Events[:3]
	assert.Less(t, kept[0].At, -23*time.Hour)
	assert.Equal(t, []journal.LockEvent{
		{Holder: "worker-9", At: kept[0].At}, {Holder: "worker-9", Renews: true, At: kept[0].At + time.Second}, {Holder: "worker-9", Ends: true, At: kept[0].At + 2*time.Second},
	}, kept)
	v = verdict(t, all["not fenced"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	assert.Contains(t, v.Reason, `the lock "leader" was acquired while another one held it: "worker-`)
	assert.Regexp(t, `"worker-1" from \S+ to \S+, while "worker-0" from \S+ to \S+ held it`, strings.Join(v.Details, "\n"))
	assert.NotEmpty(t, v.Evidence)
}

// A worker that crashes while it holds the lock does not go on, and the end of its lease is not listed.
func TestLockOfACrashedHolder(t *testing.T) {
	t.Parallel()
	c := check.MutualExclusion{Lock: "leader", Source: "lock log"}
	var v journal.Verdict
	for range runner.Repeats { // until a crash met it: nothing is injected if this machine was too busy
		b := lockDrill(t, "crashes", [2]map[string]string{{"WORK": "300ms", "LEASE": "1500ms"}, {"LEASE": "1500ms"}})
		for range 6 { // it holds the lock at about three of four moments
			b = b.Inject("", "worker-0", injector.Crash{}).For(1800 * time.Millisecond).Wait(400 * time.Millisecond)
		}
		res, err := runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir()}, build(t, b.Check(c)))
		require.NoError(t, err)
		v = verdict(t, res.Book.Scenarios[0], c)
		if t.Logf("%s: %s", stated(v), v.Reason); v.Code == "undecided" || stated(v) == "failed" {
			break
		}
	}
	require.Equal(t, "inconclusive", stated(v), v.Reason)
	assert.Equal(t, "undecided", v.Code)
	assert.Regexp(t, `^"worker-0" acquired the lock at \S+, and the list shows no end of that before "worker-1" acquired it at \S+: its holder may have crashed or hung \("worker-0" crashes\)`, v.Reason)
}
