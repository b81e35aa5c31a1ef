//go:build !unix

package load

// fileLimit returns how many files this process may open, as text for users.
func fileLimit() string { return "a limited number" }
