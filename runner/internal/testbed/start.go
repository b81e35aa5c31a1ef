package testbed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// startAll starts each service as soon as its dependencies are ready. Services that depend on each
// other in a cycle, such as the members of a cluster, do not wait for each other, since none of them
// might become ready alone. After the first error no further service is started.
func (s *System) startAll(ctx context.Context) error {
	order, err := s.e.System.Order()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready := map[string]chan struct{}{}
	for _, svc := range order {
		if len(svc.Command) > 0 && s.cfg.Handlers[svc.Name] == nil {
			ready[svc.Name] = make(chan struct{})
		}
	}
	var all sync.WaitGroup
	for _, svc := range order {
		if ready[svc.Name] == nil {
			continue
		}
		all.Go(func() {
			for _, name := range s.e.System.Before(svc) {
				if first := ready[name]; first != nil {
					select {
					case <-first:
					case <-ctx.Done():
						return
					}
				}
			}
			if err := s.start(ctx, svc); err != nil {
				cancel(err)
				return
			}
			close(ready[svc.Name])
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (s *System) start(ctx context.Context, svc scenarios.Service) error {
	spec, err := s.spec(svc)
	if err != nil {
		return err
	}
	if err := s.makeDataFolder(svc); err != nil {
		return fmt.Errorf("start service %q: %w", svc.Name, err)
	}
	started, err := process.Start(ctx, spec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Services[svc.Name] = started
	return nil
}

// makeDataFolder makes the data folder of a service, if it has one. It is a disk if a fault makes it lose power.
func (s *System) makeDataFolder(svc scenarios.Service) error {
	if svc.Data.Folder == "" {
		return nil
	}
	folder := filepath.Join(s.folder(svc), svc.Data.Folder)
	if !s.e.LosesPower(svc.Name) {
		return os.MkdirAll(folder, 0o700)
	}
	d, err := disk.Open(folder, svc.Data.Bytes())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Disks[svc.Name] = d
	return nil
}
