//go:build !unix

package load

// FileLimit returns how many files this process may open, as text for users.
func FileLimit() string { return "a limited number" }
