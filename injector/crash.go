package injector

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Crash kills all processes of a service with SIGKILL. Heal restarts the service. If Times is larger than 1, the
// service is also restarted between crashes, as by a supervisor, after half of Every but at most a second.
type Crash struct {
	Times int           // number of crashes; 0 means 1
	Every time.Duration // time between two crashes
}

// Lasts returns the time from the first crash to the last.
func (f Crash) Lasts() time.Duration { return time.Duration(max(0, f.Times-1)) * f.Every }

// Kind implements Fault.
func (f Crash) Kind() Kind {
	k := Kind{Name: "crash", On: "service", Hides: true, AtOnce: true, EndedBy: "starts again", Undo: "the process is started again and awaited", Unproved: "that it becomes ready again", Sentences: []Sentence{{
		Pattern:  `{to} crashes( {number} times, {duration} apart){for}`,
		Means:    "all its processes are killed (SIGKILL); healing starts it again; repeated crashes hold for times x apart",
		Examples: []string{`"payments" crashes`, `"payments" crashes 3 times, 10s apart`, `"payments" crashes for 5s`},
		Fault: func(a Args) Fault {
			if !a.Has(1) {
				return Crash{}
			}
			return Crash{Times: int(a.Count(1, 2)), Every: a.Duration(2)}
		},
	}}}
	if f.Times > 1 {
		k.Hold = time.Duration(f.Times) * f.Every
	}
	return k
}

// Inject implements Fault.
func (f Crash) Inject(ctx context.Context, t Target) (Heal, error) {
	if err := t.checkService(); err != nil {
		return nil, err
	}
	if f.Times > 1 && f.Every <= 0 {
		return nil, fmt.Errorf("inject %d crashes: the time between them must be positive", f.Times)
	}
	t.Count.See(1)
	if err := t.Service.Crash(ctx); err != nil {
		return nil, err
	}
	t.Count.Touch(1)
	watched := t.Service.Watch()
	series, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- f.repeat(series, t, watched) }()
	return func(ctx context.Context) error {
		stop()
		err := <-ended
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return errors.Join(err, t.Service.Restart(ctx))
	}, nil
}

// repeat carries out all crashes except the first, and returns when ctx ends. watched ends the watch on the first
// crash.
func (f Crash) repeat(ctx context.Context, t Target, watched func() string) error {
	defer func() { t.Count.Void(watched()) }()
	down := min(f.Every/2, time.Second)
	for range f.Times - 1 {
		if !pause(ctx, down) {
			return nil
		}
		t.Count.Void(watched())
		watched = func() string { return "" }
		if err := t.Service.Restart(ctx); err != nil {
			return err
		}
		if !pause(ctx, f.Every-down) {
			return nil
		}
		t.Count.See(1)
		if err := t.Service.Crash(ctx); err != nil {
			return err
		}
		t.Count.Touch(1)
		watched = t.Service.Watch()
	}
	<-ctx.Done()
	return nil
}

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Say implements Fault.
func (f Crash) Say(_, to string) string {
	if f.Times > 1 {
		return fmt.Sprintf("%q crashes %d times, %s apart", to, f.Times, Duration(f.Every))
	}
	return fmt.Sprintf("%q crashes", to)
}

// Stop stops a service gracefully with its stop signal. Heal restarts it. Inject returns an error if the service had
// to be killed, because that was a crash.
type Stop struct{}

// Kind implements Fault.
func (Stop) Kind() Kind {
	return Kind{Name: "stop", On: "service", Hides: true, AtOnce: true, EndedBy: "starts again", Undo: "the process is started again and awaited", Unproved: "that it ends in time when it is asked to, and becomes ready again", Sentences: []Sentence{{
		Pattern:  `{to} is stopped gracefully{for}`,
		Means:    "it is asked to end, with the signal and the patience of its `stop` in the system file (SIGTERM, 5s); inconclusive when it had to be killed; healing starts it again",
		Examples: []string{`"payments" is stopped gracefully for 10s`},
		Fault:    func(Args) Fault { return Stop{} },
	}}}
}

// Inject implements Fault.
func (Stop) Inject(ctx context.Context, t Target) (Heal, error) {
	if err := t.checkService(); err != nil {
		return nil, err
	}
	t.Count.See(1)
	if !t.Service.Running() {
		return nil, fmt.Errorf("stop service %q: it is not running", t.Service.Name())
	}
	if err := t.Service.Stop(ctx); err != nil {
		return nil, err
	}
	t.Count.Touch(1)
	watched := t.Service.Watch()
	return func(ctx context.Context) error {
		t.Count.Void(watched())
		return t.Service.Restart(ctx)
	}, nil
}

// Say implements Fault.
func (Stop) Say(_, to string) string { return fmt.Sprintf("%q is stopped gracefully", to) }

// Hang stops all processes of a service with SIGSTOP: sockets stay open, but nothing answers. Heal resumes the
// processes.
type Hang struct{}

// Kind implements Fault.
func (Hang) Kind() Kind {
	return Kind{Name: "hang", On: "service", Hides: true, Waits: true, EndedBy: "resumes", Undo: "SIGCONT", Unproved: "that it answers again after that", Sentences: []Sentence{{
		Pattern:  `{to} hangs{for}`,
		Means:    "all its processes are stopped (SIGSTOP): sockets stay open, nothing answers",
		Examples: []string{`"payments" hangs for 15s`},
		Fault:    func(Args) Fault { return Hang{} },
	}}}
}

// Inject implements Fault.
func (Hang) Inject(_ context.Context, t Target) (Heal, error) {
	if err := t.checkService(); err != nil {
		return nil, err
	}
	t.Count.See(1)
	if err := t.Service.Hang(); err != nil {
		return nil, err
	}
	t.Count.Touch(1)
	watched := t.Service.Watch()
	return func(context.Context) error {
		t.Count.Void(watched())
		return t.Service.Resume()
	}, nil
}

// Say implements Fault.
func (Hang) Say(_, to string) string { return fmt.Sprintf("%q hangs", to) }
