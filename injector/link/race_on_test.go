//go:build race

package link

const raceEnabled = true

// repeats returns how often a test repeats something: less with the race detector, which is ten times as slow.
func repeats(n int) int { return n / 8 }
