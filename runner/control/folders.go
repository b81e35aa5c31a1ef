package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Running returns the folders below dir of runs and links, in the order of their names: of those that answer, and of those that
// listen and do not answer within a second, since they hang, have no CPU time, or are busy with other clients.
func Running(ctx context.Context, dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for runs in %q: %w", dir, err)
	}
	var all []string
	for _, e := range entries {
		run := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(filepath.Join(run, Name)); !e.IsDir() || err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		_, err := Call(ctx, run, Request{Do: "status"})
		cancel()
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			all = append(all, run)
		}
	}
	return all, nil
}

// RemoveStale removes the sockets in the folders below dir on which nothing listens, since their program was killed, and
// folders that held nothing else. It returns those folders, in the order of their names. Sockets of other users are left
// alone.
func RemoveStale(ctx context.Context, dir string) (of []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for sockets of killed runs in %q: %w", dir, err)
	}
	var errs []error
	for _, e := range entries {
		folder := filepath.Join(dir, e.Name())
		socket := filepath.Join(folder, Name)
		if !e.IsDir() || owned(socket) != nil {
			continue
		}
		conn, err := dial(ctx, folder)
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, refused) {
			continue
		}
		switch err := os.Remove(socket); {
		case err == nil:
			_ = os.Remove(folder) // fails if it holds anything else
			of = append(of, folder)
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("remove the socket of a run that was killed: %w", err))
		}
	}
	return of, errors.Join(errs...)
}
