//go:build !linux

package disk

import "errors"

var errUnavailable = errors.New("the loss of power is simulated on Linux only")

// Disk is a mounted file system.
type Disk struct{}

// Available returns an error if this machine cannot provide disks, which says what is missing.
func Available() error { return errUnavailable }

// Open makes a file system of a size in bytes and mounts it at a folder.
func Open(string, int64) (*Disk, error) { return nil, errUnavailable }

// LosePower discards what was not synced.
func (*Disk) LosePower(func() error) (Lost, error) { return Lost{}, errUnavailable }

// Close unmounts the file system.
func (*Disk) Close() error { return nil }
