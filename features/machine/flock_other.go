//go:build !unix

package machine

import "os"

// flock does nothing where there are no such locks: drills are then run again beside others.
func flock(*os.File, bool) error { return nil }
