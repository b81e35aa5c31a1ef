//go:build !unix

package link

// port cannot be kept here: between refusing and healing another process may take it.
type port struct{}

func reserve(string) *port { return nil }

func (*port) release() {}
