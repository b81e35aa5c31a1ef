//go:build !linux && !darwin

package main

// keyByKey does not change the terminal: each key needs Enter after it.
func keyByKey(int) (restore func(), err error) { return func() {}, nil }

// discardTyped does nothing: what was typed cannot be dropped.
func discardTyped(int) {}
