package injector

import (
	"context"
	"errors"
	"fmt"
)

// PowerLoss kills all processes of a service and discards what they had not synced to its data folder. Heal restarts the
// service.
type PowerLoss struct{}

// Kind implements Fault.
func (PowerLoss) Kind() Kind {
	return Kind{Name: "power loss", On: "service", Hides: true, AtOnce: true, Disk: true, EndedBy: "starts again", Undo: "the process is started again, on what was synced, and awaited", Unproved: "that it becomes ready again on what was synced", Sentences: []Sentence{{
		Pattern:  `{to} loses power{for}`,
		Means:    "all its processes are killed, and what they had not synced to its data folder (`data` in the system file) is gone; on Linux, as root; healing starts it again",
		Examples: []string{`"payments" loses power`, `"payments" loses power for 5s`},
		Fault:    func(Args) Fault { return PowerLoss{} },
	}}}
}

// Inject implements Fault. The processes are stopped before the disk loses power, so that none of them notices, or
// acknowledges something meanwhile, or writes back what it closes when it is killed.
func (PowerLoss) Inject(ctx context.Context, t Target) (Heal, error) {
	if err := t.checkService(); err != nil {
		return nil, err
	}
	if t.Disk == nil {
		return nil, fmt.Errorf("inject a loss of power: the service %q has no data folder that can lose what was not synced", t.Service.Name())
	}
	t.Count.See(1)
	if err := t.Service.Hang(); err != nil {
		return nil, err
	}
	lost, err := t.Disk.LosePower(func() error { return t.Service.Crash(ctx) })
	if err != nil {
		if t.Service.Running() {
			err = errors.Join(err, t.Service.Resume())
		}
		return nil, err
	}
	if t.Lost != nil {
		t.Lost(lost)
	}
	t.Count.Touch(1)
	watched := t.Service.Watch()
	return func(ctx context.Context) error {
		t.Count.Void(watched())
		return t.Service.Restart(ctx)
	}, nil
}

// Say implements Fault.
func (PowerLoss) Say(_, to string) string { return fmt.Sprintf("%q loses power", to) }
